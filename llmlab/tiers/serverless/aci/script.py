"""A script of `az` commands, and the container groups that it asks for; nothing of it is run, and nobody is asked.

`az container create` is read with the options of azure-cli's own parser; `az.py` asks the program as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ....errors import LabError
from ..validators import Problem
from . import options, shell
from .words import Statement, Unreadable, Word

FILE = "aci.sh"
#: What a shell does itself: not said to be left out.
OWN = frozenset(
    (
        *(
            ":",
            "[",
            "[[",
            ".",
            "}",
            "break",
            "case",
            "cd",
            "continue",
            "declare",
            "done",
            "echo",
            "esac",
            "eval",
            "exit",
        ),
        *(
            "export",
            "false",
            "fi",
            "for",
            "function",
            "in",
            "let",
            "local",
            "printf",
            "read",
            "readonly",
            "return",
            "select",
        ),
        *("set", "shift", "source", "test", "trap", "true", "typeset", "unset", "wait"),
    )
)

#: What stands for a number or a choice that only a run could tell: a legal one.
ANY: Mapping[str, Any] = {
    "cpu": 1.0,
    "memory": 1.0,
    "ports": [80],
    "os_type": "Linux",
    "restart_policy": "Always",
}


@dataclass(frozen=True, slots=True)
class ScriptLine:
    """One command of the script: where it begins, and its words as the program would get them."""

    where: str
    words: tuple[Word, ...]

    def __str__(self) -> str:
        return f"{self.where}: {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Creation:
    """One `az container create`: its options by az's own names for them (`os_type`, `dns_name_label`), None where one is absent.

    `written`: of an option's words, which are written in the script itself (nothing of them comes from outside).
    `unknown`: options of whose value only a run of the script could tell a part, with that part.
    """

    where: str  # file and line of the command
    values: Mapping[str, Any]  # each option's, as az would have it
    #: Of each option that stands there, its words.
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    written: frozenset[str] = frozenset()  # words that stand in the script itself
    unknown: Mapping[str, str] = field(default_factory=dict)  # option → what of it only a run could tell

    def __getattr__(self, name: str) -> Any:
        if name == "values" or name not in self.values:
            raise AttributeError(name)
        return self.values[name]

    @property
    def environment(self) -> dict[str, str]:
        """What --environment-variables sets."""
        return _pairs(self.values.get("environment_variables"))

    @property
    def secure(self) -> dict[str, str]:
        """What --secure-environment-variables sets."""
        return _pairs(self.values.get("secure_environment_variables"))

    @property
    def opened(self) -> tuple[int, ...]:
        """The ports that are open on the group's address; none: it has no address (custom.py, _create_ip_address)."""
        public = self.values.get("ip_address") == "Public" or self.values.get("dns_name_label")
        if not public and not self.values.get("subnet"):
            return ()
        return tuple(self.values.get("ports") or (80,))


@dataclass(frozen=True, slots=True)
class Script:
    """A script as read. `problems`: what the shell or az refuses, with its line; `remarks`: what both take, and perhaps nobody meant.

    `not_run`: commands that are no `az`, and that nobody runs here.
    """

    asked: tuple[Creation, ...]  # the container groups that it creates
    az: tuple[ScriptLine, ...]  # all its az commands
    not_run: tuple[ScriptLine, ...]  # its other commands
    problems: tuple[Problem, ...]  # what the shell or az refuses
    remarks: tuple[Problem, ...]  # what both take, and perhaps nobody meant


def read(path: Path, environment: Mapping[str, str] | None = None) -> Script:
    """Read a script.

    :param environment: what it is run with, e.g. the secrets that do not stand in it.
    :raises LabError: when the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise LabError(f"{path.name} cannot be read: {error.strerror}.", fix="llmlab reset") from None
    except UnicodeDecodeError:
        raise LabError(f"{path.name} is no text (UTF-8).", where=path.name, fix="llmlab reset") from None
    return read_text(text, path.name, environment)


def read_text(text: str, name: str = FILE, environment: Mapping[str, str] | None = None) -> Script:
    """The same from text."""
    given = dict(environment or {})
    try:
        statements = shell.read(text, given).statements
    except Unreadable as error:
        where = f"{name}:{error.line}"
        said = Problem(where, f"the shell cannot read it: {error.why}")
        return Script((), (), (), (said,), ())
    reader = _ScriptReader(name, given)
    for statement in statements:
        reader.statement(statement)
    if "\r\n" in text:
        reader.remarks.insert(
            0, Problem(name, "its lines end as on Windows: the shell takes the carriage return for a letter")
        )
    if not reader.asked and not reader.problems:
        reader.problems.append(Problem(name, f"there is no `{' '.join(options.COMMAND)}` in it"))
    return Script(
        tuple(reader.asked),
        tuple(reader.az),
        tuple(reader.not_run),
        tuple(reader.problems),
        tuple(reader.remarks),
    )


class _ScriptReader:
    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.asked: list[Creation] = []
        self.az: list[ScriptLine] = []
        self.not_run: list[ScriptLine] = []
        self.problems: list[Problem] = []
        self.remarks: list[Problem] = []
        # az's own variables for defaults (azure-cli configuration: AZURE_{section}_{name})
        self.defaults = {
            key: environment[f"AZURE_DEFAULTS_{key.upper()}"]
            for key in ("group", "location")
            if environment.get(f"AZURE_DEFAULTS_{key.upper()}")
        }
        self.locations: dict[str, str] = {}  # of resource groups

    def statement(self, one: Statement) -> None:
        if not one.words:
            return
        where, first = f"{self.name}:{one.line}", one.words[0]
        line = ScriptLine(where, one.words)
        if first.startswith("-"):
            what = f"{first}: command not found (the line before it ends without a backslash, or with a blank after it)"
            self.problems.append(Problem(where, what))
        elif os.path.basename(first) != "az":
            if first not in OWN:
                self.not_run.append(line)
        else:
            self.az.append(line)
            if tuple(one.words[1:3]) == options.COMMAND[1:]:
                self._create(where, one)
            else:
                self._other(one.words[1:])

    def _create(self, where: str, one: Statement) -> None:
        self.remarks += [
            Problem(f"{self.name}:{line}", f"${name} is not set: the shell puts nothing there")
            for line, name in one.unset
        ]
        words = one.words[3:]
        marks = _marks(words)
        hidden = {text for text, mark in marks.items() if mark.unknown}
        has_group = "group" in self.defaults or any(text.startswith(("$", "`")) for text in hidden)
        try:
            parsed = options.parse(words, has_group=has_group, unknown=hidden)
        except options.AzRefusal as refused:
            self.problems.append(Problem(where, str(refused)))
            gone = [options.GONE[name] for word in words if (name := word.partition("=")[0]) in options.GONE]
            self.remarks += [Problem(where, why) for why in gone[:1]]
            return
        values = dict(parsed.values)
        values["resource_group_name"] = values["resource_group_name"] or self.defaults.get("group")
        values["location"] = (
            values["location"]
            or self.defaults.get("location")
            or self.locations.get(values["resource_group_name"])
        )
        unknown, written = {}, set()
        for name, value in values.items():
            parts = [
                str(part) for part in (value if isinstance(value, list) else [value]) if value is not None
            ]
            known = [marks[part] for part in parts if part in marks]
            written |= {str(part) for part in known if not part.outside}
            if found := [text for part in known for text in part.unknown]:
                unknown[name] = ", ".join(found)
            files = [part for part in parts if part.startswith("@")]
            if files and name not in unknown:  # az reads the file that stands behind an @
                unknown[name] = ", ".join(files)
        values |= {name: legal for name, legal in ANY.items() if name in unknown}
        self.remarks += [
            Problem(where, f"{given[0]} is given {len(given)} times: az takes the last one only")
            for given in parsed.given.values()
            if len(given) > 1
        ]
        self.asked.append(Creation(where, values, parsed.given, frozenset(written), unknown))

    def _other(self, words: Sequence[Word]) -> None:
        """What other commands say that matters for a creation: where a resource group is, and defaults."""
        if tuple(words[:2]) == ("group", "create"):
            name = _after(words, "--name", "-n", "--resource-group", "-g")
            location = _after(words, "--location", "-l")
            if name and location:
                self.locations[name] = location
        elif words[:1] == ("configure",) or tuple(words[:2]) == ("config", "set"):
            for word in words:
                key, sign, value = word.removeprefix("defaults.").partition("=")
                if sign and key in ("group", "location"):
                    self.defaults[key] = value


def _after(words: Sequence[Word], *names: str) -> str | None:
    for at, word in enumerate(words):
        head, sign, tail = word.partition("=")
        if head in names:
            return tail if sign else str(words[at + 1]) if at + 1 < len(words) else None
    return None


def _marks(words: Sequence[Word]) -> dict[str, Word]:
    """Each word by its text, and what stands behind its first `=`, since `--name=value` is one word."""
    marks = {}
    for word in words:
        marks[str(word)] = word
        if word.startswith("-") and "=" in word:
            tail = Word(word.partition("=")[2])
            tail.outside, tail.unknown = word.outside, word.unknown
            marks.setdefault(str(tail), tail)
    return marks


def _pairs(items: Sequence[str] | None) -> dict[str, str]:
    return dict(item.split("=", 1) for item in items or () if "=" in item)
