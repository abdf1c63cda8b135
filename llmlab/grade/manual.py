"""What an instructor adds by hand, in a file of its own beside the results, so that no regrade can lose it.

`manual.toml` has one table per learner, by key. It is written once, as a commented template, and only read after.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from msgspec import Meta, Struct, field

from ..course.info import Question
from ..errors import LabError
from ..system import typed

TEMPLATE = """\
# Points and comments of your own. llmlab wrote this file once, reads it whenever the gradebook is written, and
# never changes it: what stands here survives every regrade.
#
# One table per learner, by the key that the gradebook and the folders have, in quotes:
#
# ["Zoë Müller"]
# points = 1.5                          # added to the score; lateness does not reduce it
# comment = "Nice use of kv-unified."   # the learner reads it
# submitted = 2026-11-20T18:00:00Z      # instead of the file's time
# excused = true                        # lateness costs nothing
# checks.knee = { points = 2, comment = "Right for a wrong reason." }   # instead of the check's own points
"""
LEARNER_KEYS = {
    "points": "points = 1.5",
    "comment": 'comment = "Well done."',
    "submitted": "submitted = 2026-11-20T18:00:00Z",
    "excused": "excused = true",
    "checks": 'checks.knee = { points = 2, comment = "Right for a wrong reason." }',
    "answers": 'answers.regions = { points = 1, comment = "And who pays for it?" }',
}
MOST = 1e6  # more is a slip of the finger
Points = Annotated[float, Meta(gt=-MOST, lt=MOST)]
T = TypeVar("T", bound=Struct)
CHECK_KEYS = {"points": LEARNER_KEYS["checks"], "comment": LEARNER_KEYS["checks"]}


@dataclass(frozen=True, slots=True)
class ManualCheck:
    """One check by hand. `points`: instead of the automatic ones; None leaves those. `max_points`: the check's own."""

    points: float | None
    max_points: float
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Manual:
    """What an instructor says of one submission.

    `points` are added; `submitted` (aware) stands instead of the file's time; `excused`: lateness costs nothing.
    """

    points: float = 0.0
    comment: str = ""
    submitted: datetime | None = None
    excused: bool = False
    checks: Mapping[str, ManualCheck] = dataclasses.field(default_factory=dict)
    answers: Mapping[str, ManualCheck] = dataclasses.field(
        default_factory=dict
    )  # in prose, by the question's name

    @property
    def added(self) -> float:
        """Points on top of those of the checks: the learner's own, and for answers in prose."""
        return self.points + sum(answer.points or 0.0 for answer in self.answers.values())

    @property
    def judges(self) -> bool:
        """Whether it gives or takes points, so that a submission that could not be graded has a score."""
        return self.added != 0 or any(check.points is not None for check in self.checks.values())


def ensure_template(path: Path, questions: Sequence[Question] = ()) -> bool:
    """Write the commented template where there is no file yet, with the rubric of what is answered in prose; whether it did.

    :raises LabError: when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # "x": whatever is there already is the instructor's
            file.write(template(questions))
    except FileExistsError:
        return False
    except OSError as error:
        raise LabError(f"{path.name} was not written: {error.strerror}.", where=str(path)) from None
    return True


def template(questions: Sequence[Question] = ()) -> str:
    """The file as it is written once, all of it comments: with what is answered in prose, and what to look for in it."""
    lines = []
    for question in questions:
        most = f"{question.points:g} points" if question.points != 1 else "1 point"
        lines += ["#", f"# {question.name}: {question.asks}", f"#   at most {most}, when the answer"]
        lines += [f"#   - {part}" for part in question.rubric]
        lines.append(f'# answers.{question.name} = {{ points = {question.points:g}, comment = "" }}')
    head = "\n# Answered in prose, on each learner's feedback page. Nobody but you gives points for them; they are added to the score.\n"
    return TEMPLATE + (head + "\n".join(lines) + "\n" if lines else "")


def read_manual(
    path: Path, keys: Collection[str], checks: Mapping[str, float], answers: Mapping[str, float] | None = None
) -> dict[str, Manual]:
    """The file's tables by learner's key; empty when there is no file.

    :param keys: of the class; a key is found however its accents are composed.
    :param checks: the lab's checks and the points each gives.
    :param answers: its questions in prose, and the most that each may be given.
    :raises LabError: naming file and line: not TOML, a learner, check or key there is not, a value of the wrong kind,
        points that are no finite number, a check's points below 0 or above what it gives.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")  # Windows' editor puts a mark in front
        data = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise LabError(f"{path.name} is not UTF-8: {error.reason}.", where=str(path)) from None
    except OSError as error:
        raise LabError(f"{path.name} cannot be read: {error.strerror}.", where=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\s*\(at line (\d+), column (\d+)\)", str(error))
        where = f"{path}:{at[1]}:{at[2]}" if at else str(path)
        what = str(error).replace(at[0], "") if at else str(error)
        raise LabError(
            f"{path.name} is not TOML: {what}.", where=where, without="nothing in it is lost"
        ) from None
    reader = _Reader(path, text, {"checks": checks, "answers": answers or {}})
    known = {unicodedata.normalize("NFC", key): key for key in keys}
    found: dict[str, Manual] = {}
    version = data.get("schema", 1)
    if not isinstance(version, dict):  # a learner may be called that
        if version is True or version != 1:
            reader.refuse(["schema"], f"schema is {version!r}, and should be 1", "a newer llmlab reads it")
        data.pop("schema", None)
    for name, table in data.items():
        key = name if name in keys else known.get(unicodedata.normalize("NFC", name))
        if not isinstance(table, dict):
            reader.refuse(
                [name], f"{name!r} stands above the first learner", 'put it below a line ["learner"]'
            )
        if key is None:
            reader.refuse(
                [name], f"there is no learner {name!r}", _nearest(name, keys, 'keys need quotes: ["a.b"]')
            )
        if key in found:
            reader.refuse([name], f"{key!r} stands here twice", "keep one table")
        found[key] = reader.learner(name, table)
    return found


class _Check(Struct, forbid_unknown_fields=True):
    points: Points | None = None  # instead of the check's own, from 0 to what it gives
    comment: str = ""  # the learner reads it beside the check


class _Learner(Struct, forbid_unknown_fields=True):
    points: Points = 0.0  # added to the score; lateness does not reduce them
    comment: str = ""  # the learner reads it
    submitted: Annotated[datetime, Meta(tz=True)] | None = None  # instead of the file's time
    excused: bool = False  # whether lateness costs nothing
    checks: dict[str, Any] = field(default_factory=dict)  # a check's name → points and comment by hand
    answers: dict[str, Any] = field(default_factory=dict)  # a question's name → points and comment


class _Reader:
    """Reads the tables of one file; what is wrong becomes a LabError with its line."""

    def __init__(self, path: Path, text: str, known: Mapping[str, Mapping[str, float]]) -> None:
        self.path, self.text, self.known = path, text, known

    def refuse(self, at: list[str], what: str, fix: str) -> NoReturn:
        line = typed.toml_line(self.text, at)
        where = f"{self.path}:{line}" if line else str(self.path)
        raise LabError(f"{self.path.name}: {what}.", where=where, fix=fix)

    def learner(self, name: str, table: dict[str, Any]) -> Manual:
        read = self._read(_Learner, table, [name], LEARNER_KEYS)
        return Manual(
            points=read.points,
            comment=read.comment,
            submitted=read.submitted.astimezone(UTC) if read.submitted else None,
            excused=read.excused,
            checks={
                check: self._by_hand(name, "checks", check, given) for check, given in read.checks.items()
            },
            answers={
                answer: self._by_hand(name, "answers", answer, given)
                for answer, given in read.answers.items()
            },
        )

    def _by_hand(self, learner: str, kind: str, name: str, table: object) -> ManualCheck:
        at, known = [learner, kind, name], self.known[kind]
        if name not in known:
            what = "check" if kind == "checks" else "question in prose"
            self.refuse(at, f"there is no {what} {name!r}", _nearest(name, known, ""))
        read = self._read(_Check, table, at, CHECK_KEYS)
        full = known[name]
        if read.points is not None and not 0 <= read.points <= full:
            what = f"{name} gives 0 to {full:g} points, not {read.points:g}"
            self.refuse([*at, "points"], what, "add or take more with the learner's own `points = ...`")
        return ManualCheck(read.points, full, read.comment)

    def _read(self, kind: type[T], table: object, at: list[str], examples: Mapping[str, str]) -> T:
        try:
            return typed.convert(table, kind)
        except typed.Trouble as trouble:
            full = [*at, *trouble.at]
            if trouble.kind == "unknown":
                self.refuse(full, f"there is no key {full[-1]!r}", _nearest(full[-1], trouble.known, ""))
            said = f"{'.'.join(full[1:])} is {trouble.shown}, and should be {trouble.wanted}"
            self.refuse(full, said, examples.get(full[-1], CHECK_KEYS["points"]))


def _nearest(name: str, names: Collection[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    few = ", ".join(repr(choice) for choice in list(names)[:8])
    return otherwise or (f"there are {few}" if few else "there are none")
