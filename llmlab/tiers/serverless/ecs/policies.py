"""IAM policies evaluated as IAM does it: what a role may do, who may assume it, and what it may do beyond what it must.

How a policy is evaluated is `aws.evaluation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ....errors import LabError
from ...aws.endpoint import REGION
from ...aws.evaluation import concerns, holds, matches, statements
from ...aws.evaluation import decided as decided
from . import definition
from .account import ACCOUNT, EcsAccount

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


def assumable(
    trust: Mapping[str, Any], service: str = TASKS, context: Mapping[str, str] | None = None
) -> bool:
    """Whether a trust policy lets a service assume the role."""
    known = {key.lower(): value for key, value in (context or {}).items()}
    effects = [
        statement.get("Effect")
        for statement in statements([trust])
        if concerns(statement, "Action", "sts:AssumeRole", fold=True)
        and _is(statement.get("Principal"), service)
        and holds(statement.get("Condition") or {}, known)
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
    for statement in statements(documents):
        if statement.get("Effect") != "Allow":
            continue
        if "NotAction" in statement:
            found.append(
                f"NotAction {_shown(statement['NotAction'])} in an Allow allows every other action there is"
            )
        for action in map(str, _list(statement.get("Action"))):
            if action.partition(":")[0].lower() not in SERVICES:
                found.append(f"may {action}: to start a task takes actions of {', '.join(SERVICES)} only")
        if any(concerns(statement, "Action", action, fold=True) for action in ON_SECRETS):
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
        if kind and not matches(kind, "secretsmanager"):  # of another service: the statement has several
            continue
        if not resource.startswith(own) or resource[len(own) :][:1] not in ("", "-", "?", "*"):
            yield f"the secrets of {resource} are more than {own}-??????"


def trusted_too_widely(trust: Mapping[str, Any]) -> list[str]:
    """Who may assume a role beside ECS tasks, a sentence each; none: nobody."""
    found = []
    for statement in statements([trust]):
        taken = any(concerns(statement, "Action", f"sts:{action}", fold=True) for action in ASSUMED_BY)
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


def _is(principal: Any, service: str) -> bool:
    if isinstance(principal, Mapping):
        principal = principal.get("Service") or []
    return service in (principal if isinstance(principal, list) else [principal])
