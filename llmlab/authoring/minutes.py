"""How long a lab takes a learner, added up from its steps; what lab.toml says may not be less.

Nobody's clock was read: reading and writing are rates, and what the machine takes is measured (`data/minutes.toml`).
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from ..course.info import LabInfo
from .source import Source

READING = 150  # words a minute: a technical text, in a second language
A_CELL = 0.3  # minutes to run a code cell and look at what it gives
A_LINE = 0.4  # minutes to find out and write one line of a deployment file
CHECKS = 2  # how often a lab is checked as a whole
FAIR = 0.9  # of the sum, what lab.toml may say


@dataclass(frozen=True, slots=True)
class Minutes:
    """The parts of a learner's time, in minutes."""

    reading: float
    cells: float
    writing: float
    machine: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.reading + self.cells + self.writing + self.machine

    def __str__(self) -> str:
        return (
            f"reading {self.reading:.0f}, cells {self.cells:.0f}, writing {self.writing:.0f}, "
            f"the machine {self.machine:.0f}: {self.total:.0f}"
        )


def minutes(course: Path, info: LabInfo, source: Source) -> Minutes:
    """What the steps of a lab take.

    :param course: its folder; `data/minutes.toml` says what the machine takes, where it was measured.
    """
    words = sum(len(cell.text.split()) for cell in source.cells if cell.kind == "markdown")
    cells = sum(cell.kind == "code" for cell in source.cells)
    measured = course / "data" / "minutes.toml"
    table = tomllib.loads(measured.read_text(encoding="utf-8"))["lab"] if measured.is_file() else {}
    own = table.get(info.number, {})
    return Minutes(
        reading=words / READING,
        cells=cells * A_CELL,
        writing=lines_to_write(info) * A_LINE,
        machine=own.get("notebook", 0.0) + CHECKS * own.get("check", 0.0),
    )


def lines_to_write(info: LabInfo) -> int:
    """Lines that the worked files have and the starter's have not; blank ones left out."""
    added = 0
    for name in info.artifacts:
        worked, given = info.solution / name, info.starter / name
        if not worked.is_file():
            continue
        before = given.read_text(encoding="utf-8").splitlines() if given.is_file() else []
        after = worked.read_text(encoding="utf-8").splitlines()
        added += sum(line[:2] == "+ " and bool(line[2:].strip()) for line in difflib.ndiff(before, after))
    return added
