"""The lab at hand, as the objects of a tier need it: whose files, and which seed."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..course.info import LabInfo


class Closes(Protocol):
    """Something that a lab holds open."""

    def close(self) -> None:
        """End it; may be called twice."""


class Bench(Protocol):
    """A lab, and the folder in which the learner works on it."""

    info: LabInfo
    files: Path
    seed: int
    opened: list[Closes]


def alone(bench: Bench, kind: type[Closes]) -> None:
    """End what of this kind is open: a lab has one at a time."""
    for thing in [thing for thing in bench.opened if isinstance(thing, kind)]:
        thing.close()
        bench.opened.remove(thing)
