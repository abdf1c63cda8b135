"""What a lab says of itself: `labs/NN-slug/lab.toml`."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..paths import course_dir


@dataclass(frozen=True, slots=True)
class LabInfo:
    """One lab. `minutes` is the learner's time; `starter_fails` names the checks a fresh copy fails."""

    number: str  # "01"
    slug: str  # "one-server"
    title: str
    minutes: int
    objectives: tuple[str, ...]
    needs: tuple[str, ...]
    artifacts: tuple[str, ...]
    points: float
    starter_fails: tuple[str, ...]
    starter_skips: tuple[str, ...]
    next: str
    folder: Path

    @property
    def name(self) -> str:
        """`01-one-server`, as its folder is called."""
        return f"{self.number}-{self.slug}"

    @property
    def solution(self) -> Path:
        """`solutions/NN-slug`, with the worked files."""
        return self.folder.parent.parent / "solutions" / self.name

    @property
    def starter(self) -> Path:
        """Where the untouched starter files are kept for `reset`."""
        return self.solution / "starter"


def read_info(folder: Path) -> LabInfo:
    """Read one `lab.toml`.

    :raises LabError: naming the file and the key that is missing or of the wrong kind.
    """
    path = folder / "lab.toml"
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"lab.toml cannot be read: {error}", where=str(path)) from None
    number, _, slug = folder.name.partition("-")
    try:
        return LabInfo(
            number=number,
            slug=slug,
            title=str(data["title"]),
            minutes=int(data["minutes"]),
            objectives=tuple(data["objectives"]),
            needs=tuple(data["needs"]),
            artifacts=tuple(data.get("artifacts", ())),
            points=float(data["points"]),
            starter_fails=tuple(data.get("starter", {}).get("fails", ())),
            starter_skips=tuple(data.get("starter", {}).get("skips", ())),
            next=str(data.get("next", "")),
            folder=folder,
        )
    except KeyError as error:
        raise LabError(f"lab.toml lacks {error}.", where=str(path)) from None


def all_labs(course: Path | None = None) -> list[LabInfo]:
    """All labs of a course, in their order."""
    course = course or course_dir()
    return [read_info(path.parent) for path in sorted((course / "labs").glob("*/lab.toml"))]


def find_lab(name: str, course: Path | None = None) -> LabInfo:
    """A lab by number ("1", "01"), slug or folder name.

    :raises LabError: with the nearest name when there is none.
    """
    labs = all_labs(course)
    for lab in labs:
        if name.rstrip("/") in (lab.number, lab.number.lstrip("0") or "0", lab.slug, lab.name):
            return lab
    near = difflib.get_close_matches(name, [lab.name for lab in labs] + [lab.slug for lab in labs], 1)
    raise LabError(
        f"There is no lab {name!r}.",
        fix=f"did you mean {near[0]}?" if near else "there are " + ", ".join(lab.number for lab in labs),
    )
