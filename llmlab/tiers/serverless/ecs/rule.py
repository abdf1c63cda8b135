"""What a rule of Fargate's is, and what rules share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .definition import Place

Found = Iterator[tuple[str, Place]]
Finder = Callable[[dict[str, Any]], Found]


@dataclass(frozen=True, slots=True)
class FargateRule:
    """One thing that Fargate refuses. `ours`: the words are not AWS's own."""

    name: str
    source: str
    find: Finder
    ours: bool = False


RULES: list[FargateRule] = []


def rule(name: str, source: str, *, ours: bool = False) -> Callable[[Finder], Finder]:
    """Make a function that finds refused places a rule."""

    def add(find: Finder) -> Finder:
        RULES.append(FargateRule(name, source, find, ours))
        return find

    return add


def containers(document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Place]]:
    """Each container and its place."""
    for number, container in enumerate(document["containerDefinitions"]):
        yield container, ("containerDefinitions", number)


def given(value: Any) -> bool:
    """Whether a parameter says something: the console writes out empty lists and false for what was left alone."""
    return value is not None and value is not False and value not in ([], {}, "")
