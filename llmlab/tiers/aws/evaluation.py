"""IAM policies evaluated as IAM does it: what they say of an action on a resource.

Not moto's own evaluation: that cannot read `?` in a resource (as in `secret:NAME-??????`, AWS's own example), nor NotResource, and takes
an Allow whose condition does not hold for a denial. Source: IAM user guide, policy evaluation logic and policy elements.
Not evaluated: policy variables, numbers and dates in conditions (they do not hold), permission boundaries, resource policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

Decision = Literal["allowed", "denied", "silent"]  # denied: explicitly; silent: no statement says anything


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
        for statement in statements(documents)
        if concerns(statement, "Action", action, fold=True)
        and concerns(statement, "Resource", resource)
        and holds(statement.get("Condition") or {}, known)
    ]
    return "denied" if "Deny" in effects else "allowed" if "Allow" in effects else "silent"


def statements(documents: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Those of all documents; what is none is left out."""
    for document in documents:
        found = document.get("Statement") or []
        for statement in found if isinstance(found, list) else [found]:
            if isinstance(statement, Mapping):
                yield statement


def concerns(statement: Mapping[str, Any], element: str, value: str, *, fold: bool = False) -> bool:
    """Whether a statement's Action or Resource (or NotAction, NotResource) takes a value in; a trust policy has no Resource."""
    if f"Not{element}" in statement:
        return not matches(statement[f"Not{element}"], value, fold=fold)
    return matches(statement.get(element, []), value, fold=fold)


def matches(patterns: Any, value: str, *, fold: bool = False) -> bool:
    """Whether one of the patterns (`*` any text, `?` one character) is the value."""
    flags = re.IGNORECASE if fold else 0
    return any(
        re.fullmatch(re.escape(str(it)).replace(r"\*", ".*").replace(r"\?", "."), value, flags | re.DOTALL)
        for it in (patterns if isinstance(patterns, list) else [patterns])
    )


def holds(condition: Any, context: Mapping[str, str]) -> bool:
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
            same = matches(texts, actual)
        case _:
            return False
    return same != negated
