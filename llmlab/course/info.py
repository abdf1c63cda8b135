"""What a lab says of itself: `labs/NN-slug/lab.toml`."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, field

from ..errors import LabError
from ..system import typed
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
    images: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

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


class _Starter(Struct, forbid_unknown_fields=True):
    fails: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()


class _Late(Struct, forbid_unknown_fields=True):
    per_day: Annotated[float, Meta(ge=0, le=1)]
    grace: Annotated[float, Meta(ge=0, le=525_600)] = 0.0  # a year
    at_most: Annotated[float, Meta(ge=0, le=1)] = 1.0


class _LabToml(Struct, forbid_unknown_fields=True):
    title: str
    minutes: int
    objectives: tuple[str, ...]
    needs: tuple[str, ...]
    points: Annotated[float, Meta(ge=0, lt=1e6)]
    artifacts: tuple[str, ...] = ()
    next: str = ""
    starter: _Starter = field(default_factory=_Starter)
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    late: _Late | None = None
    grade: dict[str, Any] = field(default_factory=dict)  # `llmlab.grade.rules` reads it
    schema: Literal[1] = 1


#: How a key is written; of a table, its keys.
_EXAMPLES = {
    "title": 'title = "One server"',
    "minutes": "minutes = 30",
    "objectives": 'objectives = ["say what a slot is"]',
    "needs": 'needs = ["process"]',
    "points": "points = 8",
    "artifacts": 'artifacts = ["server.toml"]',
    "starter": '[starter]\n         fails = ["starts"]',
    "images": '[images]\n         docker = ["debian:trixie-slim"]',
    "grade": "[grade]\n         ready = 60",
    "grace": "grace = 15        # minutes",
    "per_day": "per_day = 0.1     # a tenth of the points earned, each started day",
    "at_most": "at_most = 0.5     # never more than half",
    "schema": "schema = 1        # a newer llmlab reads what is newer",
}
_EXAMPLES["late"] = "[late]\n         " + "\n         ".join(
    _EXAMPLES[key] for key in ("grace", "per_day", "at_most")
)


def read_info(folder: Path) -> LabInfo:
    """Read one `lab.toml`.

    :raises LabError: naming the file, the line and the key that is missing, unknown or of the wrong kind.
    """
    path = folder / "lab.toml"
    try:
        text = path.read_text(encoding="utf-8")
        data: dict[str, Any] = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"lab.toml cannot be read: {error}", where=str(path)) from None
    try:
        lab = typed.convert(data, _LabToml)
    except typed.Trouble as trouble:
        raise trouble.error("lab.toml", where_in(path, text, trouble.at), _EXAMPLES) from None
    number, _, slug = folder.name.partition("-")
    late = lab.late
    return LabInfo(
        number=number,
        slug=slug,
        title=lab.title,
        minutes=lab.minutes,
        objectives=lab.objectives,
        needs=lab.needs,
        artifacts=lab.artifacts,
        points=lab.points,
        starter_fails=lab.starter.fails,
        starter_skips=lab.starter.skips,
        next=lab.next,
        folder=folder,
        late=LateRule(late.grace, late.per_day, late.at_most) if late else None,
        images=lab.images,
    )


def where_in(path: Path, text: str, at: Sequence[str]) -> str:
    """Where a key of a TOML file stands, or should."""
    line = typed.toml_line(text, at)
    return f"{f'line {line} of ' if line else ''}{path}: {'.'.join(at)}"


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
