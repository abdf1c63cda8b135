"""A task definition as a file: read with the line of each value, and held against botocore's model of RegisterTaskDefinition."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import LabError
from ..validators import EcsShape, Problem

#: Where a value is: keys of objects and places in lists.
Place = tuple[str | int, ...]
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
DEEPEST = 100  # brackets within brackets; a task definition has 8 at most
_NAMED = re.compile(r'(?:for parameter|parameter in) ([A-Za-z][\w.\[\]]*)(?:: "([^"]*)")?')


@dataclass(frozen=True, slots=True)
class TaskDefinition:
    """What a file says, and on which line."""

    file: str  # the file's name
    document: Any  # an object, where `problems` finds nothing
    lines: Mapping[Place, int] = field(repr=False, default_factory=dict)  # where each value stands

    def where(self, place: Place = ()) -> str:
        """`task-definition.json:12`, the line of a value, or of the nearest that is there around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return f"{self.file}:{self.lines.get(place, 1)}"

    def problems(self) -> list[Problem]:
        """What the AWS command line would refuse before it asks anybody, in its words: unknown and missing keys, text for a number."""
        return [Problem(self.where(_place(line)), line) for line in EcsShape.refused(self.document)]


def read(path: Path) -> TaskDefinition:
    """Read a task definition.

    :raises LabError: when it is no JSON, with the line and, where it can be said, what JSON has not.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LabError(f"{path.name} is not UTF-8 text (byte {error.start}).", where=path.name) from None
    except OSError as error:
        raise LabError(
            f"{path.name} cannot be read: {error.strerror}.", where=path.name, fix="llmlab reset"
        ) from None
    if line := _too_deep(text):
        raise LabError(f"{path.name} is nested too deeply to be read.", where=f"{path.name}:{line}")
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        line, hint = _hint(text, error)
        raise LabError(f"{path.name} is no JSON: {error.msg}.{hint}", where=f"{path.name}:{line}") from None
    except ValueError:  # Python reads no number of more digits than it is told
        where = f"{path.name}:{_line_of_a_long_number(text)}"
        raise LabError(f"{path.name} has a number of too many digits to be read.", where=where) from None
    return TaskDefinition(path.name, document, _lines(text))


def _too_deep(text: str) -> int | None:
    """The line on which more brackets are open than any document has a use for."""
    depth = 0
    for match in _TOKEN.finditer(text):
        depth += (match.group() in "{[") - (match.group() in "}]")
        if depth > DEEPEST:
            return text.count("\n", 0, match.start()) + 1
    return None


def _line_of_a_long_number(text: str) -> int:
    """The line of the longest number, text apart."""
    longest = max(
        (match for match in _TOKEN.finditer(text) if not match.group().startswith('"')),
        key=lambda match: len(match.group()),
    )
    return text.count("\n", 0, longest.start()) + 1


def _lines(text: str) -> dict[Place, int]:
    """The line of every value of a text that is JSON; of a member of an object, that of its key."""
    found: dict[Place, int] = {}
    here: list[str | int | None] = []  # None: in an object, before a key
    line, at = 1, 0
    for match in _TOKEN.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        token = match.group()
        if here and here[-1] is None and token.startswith('"'):
            here[-1] = json.loads(token)
            found[_known(here)] = line
        elif token in "}]":
            here.pop()
        elif token == ",":
            last = here[-1]
            here[-1] = last + 1 if isinstance(last, int) else None
        elif token != ":":
            found.setdefault(_known(here), line)
            if token in "{[":
                here.append(None if token == "{" else 0)
    return found


def _known(here: list[str | int | None]) -> Place:
    return tuple(part for part in here if part is not None)


def _hint(text: str, error: json.JSONDecodeError) -> tuple[int, str]:
    """What people write that JSON has not, and on which line."""
    line = text.splitlines()[error.lineno - 1].strip() if text.strip() else ""
    comma = error.pos if text[error.pos : error.pos + 1] == "," else len(text[: error.pos].rstrip()) - 1
    after = text[comma + 1 :].lstrip()
    if text[comma : comma + 1] == "," and after.startswith(("}", "]")):
        return text.count("\n", 0, comma) + 1, " This comma is one too many."
    rest = text[error.pos :].lstrip()
    if rest.startswith(("//", "#", "/*")) or line.startswith(("//", "#", "/*")):
        return error.lineno, " JSON has no comments: take this line out."
    if rest.startswith("'"):
        return error.lineno, " JSON has double quotes only."
    return error.lineno, ""


def _place(line: str) -> Place:
    """The place that a line of botocore's report names, e.g. `… in containerDefinitions[0]: "imag", must be …`."""
    named = _NAMED.search(line)
    if named is None:
        return ()
    found: list[str | int] = [
        int(number) if number else name
        for name, number in re.findall(r"([A-Za-z]\w*)|\[(\d+)\]", named[1])
        if number or name != "input"
    ]
    return (*found, named[2]) if named[2] else tuple(found)
