"""What a lab says of itself: `labs/NN-slug/lab.toml`."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..system.paths import course_dir


@dataclass(frozen=True, slots=True)
class LateRule:
    """What handing in late costs: the table `[late]` of lab.toml.

    `grace_minutes`: after the deadline, they count as in time. `per_day`: the share of the points earned (0 to 1)
    that each started day after that costs. `at_most`: never more than this share.
    """

    grace_minutes: float
    per_day: float
    at_most: float


@dataclass(frozen=True, slots=True)
class LabInfo:
    """One lab. `minutes` is the learner's time; `starter_fails` names the checks a fresh copy fails.

    `late` is None without a rule: then lateness is reported and costs nothing. `images`: tier (docker, kubernetes) → those that
    the lab deploys, bases first.
    """

    number: str  # two digits
    slug: str
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
    late: LateRule | None = None
    images: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`NN-slug`, as its folder is called."""
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
            images={name: tuple(found) for name, found in data.get("images", {}).items()},
            late=None if "late" not in data else _late(data["late"], path),
        )
    except KeyError as error:
        raise LabError(f"lab.toml lacks {error}.", where=str(path)) from None


#: key of [late] -> (what stands for it when it is left out, its largest value, an example)
_LATE: dict[str, tuple[float | None, float, str]] = {
    "grace": (0.0, math.inf, "grace = 15        # minutes"),
    "per_day": (None, 1.0, "per_day = 0.1     # a tenth of the points earned, each started day"),
    "at_most": (1.0, 1.0, "at_most = 0.5     # never more than half"),
}


def _late(table: object, path: Path) -> LateRule:
    """The table `[late]`, or a LabError that names the key and shows how it is written."""
    if not isinstance(table, dict):
        example = "[late]\n         " + "\n         ".join(example for _, _, example in _LATE.values())
        raise LabError(f"late is {table!r}, and should be a table.", where=str(path), fix=example)
    for key in table:
        if key not in _LATE:
            near = difflib.get_close_matches(str(key), _LATE, 1)
            raise LabError(
                f"[late] has no key {key!r}.",
                where=f"{path}: late.{key}",
                fix=f"did you mean {near[0]}?" if near else "its keys are " + ", ".join(_LATE),
            )
    values = {}
    for key, (otherwise, largest, example) in _LATE.items():
        value = table.get(key, otherwise)
        if value is None:
            raise LabError(f"[late] lacks {key}.", where=f"{path}: late.{key}", fix=example)
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not 0 <= value <= largest:
            wanted = "a number, 0 or more" if largest == math.inf else f"a share from 0 to {largest:g}"
            what = f"[late] {key} is {value!r}, and should be {wanted}."
            raise LabError(what, where=f"{path}: late.{key}", fix=example)
        values[key] = float(value)
    return LateRule(values["grace"], values["per_day"], values["at_most"])


def all_labs(course: Path | None = None) -> list[LabInfo]:
    """All labs of a course, in their order."""
    course = course or course_dir()
    return [read_info(path.parent) for path in sorted((course / "labs").glob("*/lab.toml"))]


def find_lab(name: str, course: Path | None = None) -> LabInfo:
    """A lab by number (with or without its zero), slug or folder name.

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
