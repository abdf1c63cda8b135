"""The commands of a script and their words, with what is known of where each came from; how a word is put together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=", re.ASCII)


class Unreadable(Exception):
    """The shell could not read it: line, and why in its words."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line, self.why = line, why


class Word(str):
    """One word, as the command gets it.

    `outside`: some of it is not in the script (it is the environment's). `unknown`: what of it only a run could tell, as it is written.
    """

    outside: bool = False
    unknown: tuple[str, ...] = ()


def word(text: str, *, outside: bool = False, unknown: tuple[str, ...] = ()) -> Word:
    """A word with what is known of it."""
    made = Word(text)
    made.outside, made.unknown = outside, unknown
    return made


def only_a_run(text: str) -> Word:
    """What nobody knows before it is run, as it is written."""
    return word(text, outside=True, unknown=(text,))


@dataclass(frozen=True, slots=True)
class Statement:
    """One command: its words without redirections and assignments before it, and the line on which it begins."""

    line: int
    words: tuple[Word, ...]
    sets: Mapping[str, Word] = field(default_factory=dict)
    heredoc: bool = False  # its input stands in the script
    unset: tuple[tuple[int, str], ...] = ()  # variables for which the shell puts nothing: line and name


@dataclass(frozen=True, slots=True)
class Reading:
    """A script as read: its commands in order, and its variables as they are at its end."""

    statements: tuple[Statement, ...]
    variables: Mapping[str, Word] = field(default_factory=dict)


class Fields:
    """A word being put together; an unquoted value with blanks in it makes several of it."""

    def __init__(self) -> None:
        self.text, self.quoted, self.outside = "", False, False
        self.unknown: list[str] = []
        self.done: list[Word] = []

    @property
    def assigns(self) -> bool:
        """Whether it begins as `NAME=`: there the shell does not split."""
        return not self.done and not self.quoted and ASSIGNMENT.match(self.text) is not None

    def add(self, text: str, *, quoted: bool = False) -> None:
        """Some text, as it is."""
        self.text += text
        self.quoted |= quoted

    def value(self, value: Word, *, quoted: bool) -> None:
        """What a variable holds: unquoted, its blanks make several words."""
        if quoted or value.unknown or not re.search(r"\s", value):
            self.add(value, quoted=quoted)
        else:
            first, *rest = re.split(r"\s+", value)
            self.add(first)
            for piece in rest:
                self._end()
                self.add(piece)
        self.outside |= value.outside
        self.unknown += value.unknown

    def several(self, values: list[Word], *, quoted: bool) -> None:
        """All of an array: each element a word of its own, joined to what stands before and behind it."""
        for place, value in enumerate(values):
            if place:
                self._end()
            self.value(value, quoted=quoted)

    def _end(self) -> None:
        if self.text or self.quoted:
            self.done.append(word(self.text, outside=self.outside, unknown=tuple(self.unknown)))
        self.text, self.quoted, self.unknown = "", False, []

    def words(self) -> list[Word]:
        """What it has become."""
        self._end()
        return self.done
