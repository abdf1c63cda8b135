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
from .account import ACCOUNT

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


def _holds(condition: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """Whether all operators of a condition hold for all their keys."""
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
