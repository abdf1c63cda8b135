"""IAM policies evaluated as IAM does it: what a role may do, who may assume it, and what it may do beyond what it must.

Not moto's own evaluation: that cannot read `?` in a resource (as in `secret:NAME-??????`, AWS's own example), nor NotResource, and takes
an Allow whose condition does not hold for a denial. Source: IAM user guide, policy evaluation logic and policy elements.
Not evaluated: policy variables, numbers and dates in conditions (they do not hold), permission boundaries, resource policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ....errors import LabError
from ...aws.endpoint import REGION
from . import definition
from .account import ACCOUNT, EcsAccount

Decision = Literal["allowed", "denied", "silent"]  # denied: explicitly; silent: no statement says anything
TASKS = "ecs-tasks.amazonaws.com"
#: What conditions are held against when a task's role is used: the same for `decided` and `excess` of files, before anything runs.
CONTEXT: Mapping[str, str] = {
    "aws:PrincipalAccount": ACCOUNT,
    "aws:RequestedRegion": REGION,
    "aws:SecureTransport": "true",
}


def read(path: Path) -> dict[str, Any]:
    """A policy document of a file.

    :raises LabError: when it is no JSON object, naming the line.
    """
    found = definition.read(path).document
    if not isinstance(found, dict):
        raise LabError(f"{path.name} is no policy document: an object is wanted.", where=f"{path.name}:1")
    return found


def decided(
    documents: Sequence[Mapping[str, Any]],
    action: str,
    resource: str,
    context: Mapping[str, str] | None = None,
) -> Decision:
    """What policies together say of an action on a resource; an explicit denial wins.

    :param context: condition keys and their values; keys in any case.
    """
    known = {key.lower(): value for key, value in (context or {}).items()}
    effects = [
        statement.get("Effect")
        for statement in _statements(documents)
        if _concerns(statement, "Action", action, fold=True)
        and _concerns(statement, "Resource", resource)
        and _holds(statement.get("Condition") or {}, known)
    ]
    return "denied" if "Deny" in effects else "allowed" if "Allow" in effects else "silent"


def assumable(
    trust: Mapping[str, Any], service: str = TASKS, context: Mapping[str, str] | None = None
) -> bool:
    """Whether a trust policy lets a service assume the role."""
    known = {key.lower(): value for key, value in (context or {}).items()}
    effects = [
        statement.get("Effect")
        for statement in _statements([trust])
        if _concerns(statement, "Action", "sts:AssumeRole", fold=True)
        and _is(statement.get("Principal"), service)
        and _holds(statement.get("Condition") or {}, known)
    ]
    return "Allow" in effects and "Deny" not in effects


def excess(
    documents: Sequence[Mapping[str, Any]],
    probes: Sequence[tuple[str, str]],
    context: Mapping[str, str] | None = None,
) -> list[tuple[str, str]]:
    """Those of the actions and resources that nobody needs and the policies allow all the same."""
    return [
        (action, resource)
        for action, resource in probes
        if decided(documents, action, resource, context) == "allowed"
    ]


def too_much(documents: Sequence[Mapping[str, Any]], account: EcsAccount) -> list[str]:
    """What the policies of an execution role allow beyond a task that reads the account's one secret, a sentence each; none: nothing.

    The probes of `account.beyond()`, and what no probe finds because it has a name that nobody guessed: other services, other secrets.
    """
    found: list[str] = []
    for statement in _statements(documents):
        if statement.get("Effect") != "Allow":
            continue
        if "NotAction" in statement:
            found.append(
                f"NotAction {_shown(statement['NotAction'])} in an Allow allows every other action there is"
            )
        for action in map(str, _list(statement.get("Action"))):
            if action.partition(":")[0].lower() not in SERVICES:
                found.append(f"may {action}: to start a task takes actions of {', '.join(SERVICES)} only")
        if any(_concerns(statement, "Action", action, fold=True) for action in ON_SECRETS):
            found += _secrets(statement, account.secret)
    probed = excess(documents, account.beyond(), CONTEXT)
    return list(dict.fromkeys([*found, *(f"may {action} on {resource}" for action, resource in probed)]))


#: What starting a task may take actions of: images, secrets, logs, parameters, and the keys that those lie under.
SERVICES = ("ecr", "secretsmanager", "logs", "ssm", "kms")
ON_SECRETS = tuple(f"secretsmanager:{it}" for it in ("GetSecretValue", "PutSecretValue", "UpdateSecret", "DeleteSecret"))  # fmt: skip


def _secrets(statement: Mapping[str, Any], secret: str) -> Iterator[str]:
    """Which resources of a statement about secrets are wider than one secret: a pattern may begin where its name ends."""
    own = secret[: -len("-CJXDCG")]
    if "NotResource" in statement:
        yield f"NotResource {_shown(statement['NotResource'])} in an Allow takes in every other secret there is"
    for resource in map(str, _list(statement.get("Resource"))):
        kind = resource.split(":")[2:3]
        if kind and not _any(kind, "secretsmanager"):  # of another service: the statement has several
            continue
        if not resource.startswith(own) or resource[len(own) :][:1] not in ("", "-", "?", "*"):
            yield f"the secrets of {resource} are more than {own}-??????"


def trusted_too_widely(trust: Mapping[str, Any]) -> list[str]:
    """Who may assume a role beside ECS tasks, a sentence each; none: nobody."""
    found = []
    for statement in _statements([trust]):
        taken = any(_concerns(statement, "Action", f"sts:{action}", fold=True) for action in ASSUMED_BY)
        if statement.get("Effect") != "Allow" or not taken:
            continue
        if "NotPrincipal" in statement:
            found.append("NotPrincipal in an Allow lets everybody else assume the role")
        principal = statement.get("Principal")
        for kind, names in principal.items() if isinstance(principal, Mapping) else [("", principal)]:
            for name in _list(names):
                if (kind, name) != ("Service", TASKS):
                    found.append(_may_assume(kind, str(name)))
    return list(dict.fromkeys(found))


ASSUMED_BY = ("AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity")


def _may_assume(kind: str, name: str) -> str:
    if name == "*":
        return "everybody may assume the role (*)"
    if kind == "AWS" and re.fullmatch(r"\d{12}|arn:[\w-]+:iam::\d{12}:root", name):
        return f"whoever the account {name} lets may assume the role"
    return f"{name} may assume the role{f' ({kind})' if kind else ''}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _shown(value: Any) -> str:
    return ", ".join(map(str, _list(value)))


def _statements(documents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for document in documents:
        found = document.get("Statement") or []
        for statement in found if isinstance(found, list) else [found]:
            if isinstance(statement, Mapping):
                yield statement


def _concerns(statement: Mapping[str, Any], element: str, value: str, *, fold: bool = False) -> bool:
    """Whether a statement's Action or Resource (or NotAction, NotResource) takes a value in; a trust policy has no Resource."""
    if f"Not{element}" in statement:
        return not _any(statement[f"Not{element}"], value, fold=fold)
    return _any(statement.get(element, []), value, fold=fold)


def _is(principal: Any, service: str) -> bool:
    if isinstance(principal, Mapping):
        principal = principal.get("Service") or []
    return service in (principal if isinstance(principal, list) else [principal])


def _any(patterns: Any, value: str, *, fold: bool = False) -> bool:
    """Whether one of the patterns (`*` any text, `?` one character) is the value."""
    flags = re.IGNORECASE if fold else 0
    return any(
        re.fullmatch(re.escape(str(it)).replace(r"\*", ".*").replace(r"\?", "."), value, flags | re.DOTALL)
        for it in (patterns if isinstance(patterns, list) else [patterns])
    )


def _holds(condition: Any, context: Mapping[str, str]) -> bool:
    """Whether all operators of a condition hold for all their keys; what is no condition does not."""
    if not isinstance(condition, Mapping) or not all(isinstance(it, Mapping) for it in condition.values()):
        return False
    return all(
        _compare(operator, context.get(key.lower()), values if isinstance(values, list) else [values])
        for operator, wanted in condition.items()
        for key, values in wanted.items()
    )


def _compare(operator: str, actual: str | None, values: list[Any]) -> bool:
    name = operator.rpartition(":")[2]  # ForAnyValue and ForAllValues: our keys have one value each
    texts = [str(value).lower() if isinstance(value, bool) else str(value) for value in values]
    if name == "Null":
        return (actual is None) == ("true" in texts)
    name, if_exists = name.removesuffix("IfExists"), name.endswith("IfExists")
    negated = "Not" in name
    if actual is None:
        return if_exists or negated
    match name.replace("Not", ""):
        case "StringEquals":
            same = actual in texts
        case "StringEqualsIgnoreCase" | "Bool":
            same = actual.lower() in [text.lower() for text in texts]
        case "StringLike" | "ArnLike" | "ArnEquals":
            same = _any(texts, actual)
        case _:
            return False
    return same != negated
