"""What a lab says of itself: `labs/NN-slug/lab.toml`.

title = "One honest server"
part = "One server"                    # of the course: labs of one part stand together
minutes = 45
objectives = ["say how many tokens of context each user really has"]
needs = ["process"]                    # as `llmlab doctor` names them
artifacts = ["server.toml"]
points = 12
next = "21-two-servers"                # the lab that comes after it
schema = 1

[starter]
fails = ["context-per-slot", "knee"]   # a fresh copy fails exactly these
skips = ["goodput"]                    # because of those

[[question]]                           # answered in prose, read by a human: an answer cell has `lab.answer(regions="…")`
name = "regions"
asks = "What does a second region cost, and whom?"
rubric = ["names the users who wait longer", "says what happens when one is lost"]
points = 2                             # that an instructor may add by hand; none of the lab's own

[images]                               # tier → what the lab deploys, bases first
docker = ["debian:trixie-slim"]

[grade]                                # what one submission may take
notebook = 180                         # seconds; 0: the notebook is not run
answer = 20
checks = 300
ready = 15
cpus = 2
memory = "2G"
disk = "512M"
processes = 256
build = 120

[late]
grace = 15                             # minutes
per_day = 0.1                          # a tenth of the points earned, each started day
at_most = 0.5                          # never more than half
"""

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

#: What a lab's notebook is called in a solution's folder, in older courses, and in what learners hand in.
OTHER_NOTEBOOK = "lab.ipynb"


@dataclass(frozen=True, slots=True)
class LateRule:
    """What handing in late costs: the table `[late]` of lab.toml.

    `grace_minutes`: after the deadline, they count as in time. `per_day`: the share of the points earned (0 to 1)
    that each started day after that costs. `at_most`: never more than this share.
    """

    grace_minutes: float
    per_day: float
    at_most: float


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """Something that is answered in prose and read by a human."""

    name: Annotated[str, Meta(pattern="^[a-z][a-z_]*$")]  # of the answer: `lab.answer(NAME="…")`
    asks: str  # the question
    rubric: tuple[str, ...]  # what a good answer has: for whoever reads it
    points: Annotated[float, Meta(gt=0, lt=1e3)] = 1.0  # at most, added by hand; none of the lab's own


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
    part: str = ""  # of the course
    questions: tuple[Question, ...] = ()  # answered in prose

    @property
    def name(self) -> str:
        """`NN-slug`, as its folder is called."""
        return f"{self.number}-{self.slug}"

    @property
    def notebook(self) -> Path:
        """The learner's notebook."""
        return self.notebook_in(self.folder)

    def notebook_in(self, folder: Path) -> Path:
        """This lab's notebook in a folder: called after the lab, so that tabs can be told apart; else `lab.ipynb`."""
        own, other = (folder / name for name in self.notebook_names)
        return other if not own.exists() and other.exists() else own

    @property
    def notebook_names(self) -> tuple[str, str]:
        """The names that a notebook of this lab may have, its own first."""
        return f"{self.name}.ipynb", OTHER_NOTEBOOK

    @property
    def solution(self) -> Path:
        """`solutions/NN-slug`, with the worked files."""
        return self.folder.parent.parent / "solutions" / self.name

    @property
    def starter(self) -> Path:
        """Where the untouched starter files are kept for `reset`."""
        return self.solution / "starter"


class _Starter(Struct, forbid_unknown_fields=True):
    fails: tuple[str, ...] = ()  # the checks that a fresh copy of the starter fails
    skips: tuple[str, ...] = ()  # those that are skipped with it, because they wait for one that fails


class _Late(Struct, forbid_unknown_fields=True):
    #: The share of the points earned that each started day after the deadline and the grace costs.
    per_day: Annotated[float, Meta(ge=0, le=1)]
    #: Minutes after the deadline that still count as in time; at most a year.
    grace: Annotated[float, Meta(ge=0, le=525_600)] = 0.0
    at_most: Annotated[float, Meta(ge=0, le=1)] = 1.0  # lateness never costs more than this share


class _LabToml(Struct, forbid_unknown_fields=True):
    title: str  # what the lab is called in lists
    minutes: int  # of the learner's time
    objectives: tuple[str, ...]  # each completes "when you are done you can …"
    needs: tuple[str, ...]  # what the machine must have, as `llmlab doctor` names it
    points: Annotated[float, Meta(ge=0, lt=1e6)]  # of all checks together
    part: str = ""  # of the course; labs of one part stand together in lists
    artifacts: tuple[str, ...] = ()  # the files that a learner edits and hands in
    next: str = ""  # the lab that comes after it, as its folder is called
    starter: _Starter = field(default_factory=_Starter)  # what its checks say of a fresh copy
    #: Tier (docker, kubernetes) → the images that the lab deploys, bases first.
    images: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: What handing in late costs. Without it lateness is reported and costs nothing.
    late: _Late | None = None
    question: tuple[Question, ...] = ()  # answered in prose, read by a human
    grade: dict[str, Any] = field(default_factory=dict)  # what one submission may take while it is graded
    schema: Literal[1] = 1  # the version of this format


#: How a key is written; of a table, its keys.
_EXAMPLES = {
    "title": 'title = "One server"',
    "minutes": "minutes = 30",
    "objectives": 'objectives = ["say what a slot is"]',
    "needs": 'needs = ["process"]',
    "points": "points = 8",
    "artifacts": 'artifacts = ["server.toml"]',
    "starter": '[starter]\n         fails = ["starts"]',
    "question": '[[question]]\n         name = "regions"',
    "name": 'name = "regions"   # of lab.answer(regions="…")',
    "asks": 'asks = "What does a second region cost, and whom?"',
    "rubric": 'rubric = ["names the users who wait longer"]',
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
        part=lab.part,
        questions=lab.question,
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
