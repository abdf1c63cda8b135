"""What a Compose file leaves to its surroundings: `${…}` that nobody sets, and files beside it that are not there.

A file that is handed in comes alone, so an `.env` beside it, or a file that its `env_file` names, is on the learner's machine only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError
from ...system.yaml_nodes import scalar_line

#: A variable as Compose writes it (its Interpolation page): `$X`, `${X}`, `${X:?words}`; `$$` is a dollar sign.
_USED = re.compile(r"\$(?:\$|\{(\w+)([^}]*)\}|([A-Za-z_]\w*))")
_SET = re.compile(r"^\s*(?:export\s+)?(\w+)\s*[=:]", re.M)
_NO_FILE = re.compile(r"(?:env file|stat|open) (\S+?):?(?: not found| no such file)")
_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(frozen=True, slots=True)
class Unset:
    """A variable without a value and without a default, and the line that uses it first."""

    name: str
    line: int


def unset(file: Path, env: Mapping[str, str]) -> list[Unset]:
    """The variables that a Compose file uses, and nothing sets: neither `env`, nor an `.env` beside the file, nor a default."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    beside = file.parent / ".env"
    known = {name for name, value in env.items() if value}
    if beside.is_file():
        known |= set(_SET.findall(beside.read_text(encoding="utf-8", errors="replace")))
    found: dict[str, Unset] = {}
    for number, line in enumerate(text.splitlines(), 1):
        for used in _USED.finditer(_COMMENT.sub("", line)):
            name = used[1] or used[3]
            # `:-` and `-` give a default, `:+` and `+` mean that it may well be unset.
            if name and name not in known and not re.match(r":?[-+]", used[2] or ""):
                found.setdefault(name, Unset(name, number))
    return list(found.values())


def explained(error: LabError, file: Path, env: Mapping[str, str], *, alone: bool) -> LabError:
    """The same error, with what the file leaves to its surroundings where that may be why.

    :param alone: only what is handed in is here, as in a check.
    """
    missing = unset(file, env)
    named = re.search(r"variable \"?(\w+)\"? is missing", error.what)
    first = next(
        (variable for variable in missing if named and variable.name == named[1]), next(iter(missing), None)
    )
    absent = _NO_FILE.search(error.what)
    words = []
    if first is not None:
        listed = [
            f"{variable.name} (line {variable.line})"
            for variable in [first, *(it for it in missing if it is not first)]
        ]
        plural = "are" if len(listed) > 1 else "is"
        blank = "" if named else ": Compose takes a blank instead"
        words.append(f"{_listed(listed)} {plural} not set here{blank}.")
        if named or ":" not in (error.where or ""):
            error.where = f"{file.name}:{first.line}"
        error.fix = error.fix or f"write the value into {file.name}, or a default: ${{{first.name}:-VALUE}}"
    elif absent:
        name = Path(absent[1]).name
        words.append(f"{name} is not here.")
        line = scalar_line(file, name)
        error.where = f"{file.name}:{line}" if line else error.where
        error.fix = error.fix or f"write what it says into {file.name}"
    if words and alone:
        what = "an .env" if first is not None else Path(absent[1]).name if absent else ""
        words.append(
            f"Only the lab's own files are handed in and graded: {what} beside them is none of them, "
            "so `docker compose up` in your own folder may work all the same."
        )
    if words:
        error.what = "\n".join([error.what, *words])
    return error


def _listed(names: list[str], most: int = 6) -> str:
    """a, b and c."""
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
