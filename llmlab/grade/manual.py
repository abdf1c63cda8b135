"""What an instructor adds by hand, in a file of its own beside the results, so that no regrade can lose it.

`manual.toml` has one table per learner, by key. It is written once, as a commented template, and only read after.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from ..errors import LabError

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
}
MOST = 1e6  # points; more is a slip of the finger
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
    checks: Mapping[str, ManualCheck] = field(default_factory=dict)

    @property
    def judges(self) -> bool:
        """Whether it gives or takes points, so that a submission that could not be graded has a score."""
        return self.points != 0 or any(one.points is not None for one in self.checks.values())


def ensure_template(path: Path) -> bool:
    """Write the commented template where there is no file yet; whether it did.

    :raises LabError: when the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:  # "x": whatever is there already is the instructor's
            file.write(TEMPLATE)
    except FileExistsError:
        return False
    except OSError as error:
        raise LabError(f"{path.name} was not written: {error.strerror}.", where=str(path)) from None
    return True


def read_manual(path: Path, keys: Collection[str], checks: Mapping[str, float]) -> dict[str, Manual]:
    """The file's tables by learner's key; empty when there is no file.

    :param keys: of the class; a key is found however its accents are composed.
    :param checks: the lab's checks and the points each gives.
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
    reader = _Reader(path, text, checks)
    known = {unicodedata.normalize("NFC", key): key for key in keys}
    found: dict[str, Manual] = {}
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


class _Reader:
    """Reads the tables of one file; what is wrong becomes a LabError with its line."""

    def __init__(self, path: Path, text: str, checks: Mapping[str, float]) -> None:
        self.path, self.text, self.checks = path, text, checks

    def refuse(self, at: list[str], what: str, fix: str) -> NoReturn:
        line = _line(self.text, at)
        where = f"{self.path}:{line}" if line else str(self.path)
        raise LabError(f"{self.path.name}: {what}.", where=where, fix=fix)

    def learner(self, name: str, table: dict[str, Any]) -> Manual:
        self._only(table, LEARNER_KEYS, [name])
        given = table.get("checks", {})
        if not isinstance(given, dict):
            self._wrong([name, "checks"], given, "a table of checks", LEARNER_KEYS["checks"])
        return Manual(
            points=self._number(table.get("points", 0.0), [name, "points"], LEARNER_KEYS["points"]),
            comment=self._text(table.get("comment", ""), [name, "comment"], LEARNER_KEYS["comment"]),
            submitted=self._time(table.get("submitted"), [name, "submitted"]),
            excused=self._flag(table.get("excused", False), [name, "excused"]),
            checks={check: self._check(name, check, one) for check, one in given.items()},
        )

    def _check(self, name: str, check: str, table: object) -> ManualCheck:
        at = [name, "checks", check]
        if check not in self.checks:
            self.refuse(at, f"there is no check {check!r}", _nearest(check, self.checks, ""))
        if not isinstance(table, dict):
            self._wrong(at, table, "a table", CHECK_KEYS["points"])
        self._only(table, CHECK_KEYS, at)
        full, points = self.checks[check], None
        if "points" in table:
            points = self._number(table["points"], [*at, "points"], CHECK_KEYS["points"])
            if not 0 <= points <= full:
                what = f"{check} gives 0 to {full:g} points, not {points:g}"
                self.refuse([*at, "points"], what, "add or take more with the learner's own `points = ...`")
        return ManualCheck(
            points, full, self._text(table.get("comment", ""), [*at, "comment"], CHECK_KEYS["comment"])
        )

    def _only(self, table: dict[str, Any], known: Mapping[str, str], at: list[str]) -> None:
        for key in table:
            if key not in known:
                self.refuse([*at, key], f"there is no key {key!r}", _nearest(key, known, ""))

    def _number(self, value: Any, at: list[str], example: str) -> float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not abs(value) < MOST:  # NaN is not less than anything
            self._wrong(at, value, "a number", example)
        return float(value)

    def _text(self, value: object, at: list[str], example: str) -> str:
        return value if isinstance(value, str) else self._wrong(at, value, "text in quotes", example)

    def _flag(self, value: object, at: list[str]) -> bool:
        if not isinstance(value, bool):
            self._wrong(at, value, "true or false", LEARNER_KEYS["excused"])
        return value

    def _time(self, value: object, at: list[str]) -> datetime | None:
        if value is None:
            return None
        if not isinstance(value, datetime) or value.tzinfo is None:
            wanted = "a date and time with Z or an offset, without quotes"
            self._wrong(at, value, wanted, LEARNER_KEYS["submitted"])
        return value.astimezone(UTC)

    def _wrong(self, at: list[str], value: object, wanted: str, example: str) -> NoReturn:
        shown = str(value) if isinstance(value, datetime) else repr(value)
        self.refuse(at, f"{'.'.join(at[1:])} is {shown}, and should be {wanted}", example)


def _nearest(name: str, names: Collection[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, names, 1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    few = ", ".join(repr(one) for one in list(names)[:8])
    return otherwise or (f"there are {few}" if few else "there are none")


def _line(text: str, wanted: list[str]) -> int | None:
    """The line on which `wanted`, or as much of its path as can be found, is written (tomllib does not say)."""
    here: list[str] = []
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("["):
            here = path = _path(line) or here
        elif key := re.match(r"""\s*((?:"(?:\\.|[^"\\])*"|'[^']*'|[^=#"'])+?)\s*=""", line):
            path = [*here, *(_path(f"{key[1]} = 0") or ["\0"])]
        else:
            continue
        common = min(len(path), len(wanted))
        if path[:common] == wanted[:common] and (best is None or common > best[0]):
            best = (common, number)
    return best[1] if best else None


def _path(line: str) -> list[str] | None:
    """The keys that one line of TOML names, read by tomllib itself."""
    try:
        node: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return None
    out = []
    while isinstance(node, dict) and node:
        key = next(iter(node))
        out.append(key)
        node = node[key]
    return out
