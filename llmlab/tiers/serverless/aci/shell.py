"""What a shell would make of a script's lines: words with their variables filled in, and where each came from. Nothing is run.

It reads what scripts of `az` commands are made of (POSIX shell and a little of bash): quotes, continued lines, comments, variables,
redirections, here-documents, arrays, `$(…)`; not: `{a,b}`, file names with `*`. Loops and branches are read once, as if taken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .cursor import Cursor
from .words import ASSIGNMENT, Fields, Reading, Statement, Unreadable, Word, only_a_run, word

DEEPEST = 30  # substitutions within substitutions
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
#: After these, a variable may have been set where nobody can see it.
HIDDEN = frozenset({"source", ".", "eval", "read", "mapfile", "readarray", "getopts"})
#: Words before a command that do not change what it is.
BEFORE = frozenset(
    (
        "then",
        "do",
        "else",
        "elif",
        "if",
        "while",
        "until",
        "!",
        "{",
        "time",
        "command",
        "exec",
        "sudo",
        "env",
        "nohup",
    )
)
SETS = frozenset({"export", "readonly", "local", "declare", "typeset"})
ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{1,2}|[\\nrt\"'])")  # of $'…'
ALL = re.compile(r"\$\{([A-Za-z_]\w*)\[[@*]\]\}", re.ASCII)  # all of an array
PARAMETER = re.compile(r"([A-Za-z_]\w*)(:?[-=?+])(.*)", re.DOTALL | re.ASCII)


def read(text: str, environment: Mapping[str, str]) -> Reading:
    """Read a script.

    :param environment: the variables that it is run with.
    :raises Unreadable: at the line from which on the shell cannot read it.
    """
    reader = _Shell(text, {name: word(value, outside=True) for name, value in environment.items()})
    statements = tuple(reader.statements())
    return Reading(statements, reader.variables)


class _Shell(Cursor):
    """One pass over the text. `depth`: in how many `$(…)` and `${…}` it stands.

    :raises Unreadable: where that is more than any script has a use for.
    """

    def __init__(
        self, text: str, variables: dict[str, Word], line: int = 1, hidden: bool = False, depth: int = 0
    ) -> None:
        super().__init__(text, line)
        if depth > DEEPEST:
            raise Unreadable(line, "it is nested too deeply to be read")
        self.depth = depth
        self.variables = variables
        self.arrays: dict[str, list[Word]] = {}
        self.hidden = hidden  # whether unseen hands may have set variables
        self.unset: list[tuple[int, str]] = []
        self._inner: list[Statement] = []  # of the `$(…)` of the statement that is being read
        self._heredocs: list[tuple[str, bool]] = []

    def statements(self) -> Iterator[Statement]:
        while self.at < len(self.text):
            made = self._statement()
            yield from self._inner
            self._inner = []
            if made is not None:
                self._remember(made)
                yield made

    def _statement(self) -> Statement | None:
        words: list[Word] = []
        self.unset = []
        began, heredoc = 0, False
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in " \t":
                self.at += 1
            elif self.text.startswith("\\\n", self.at):
                self._pass(2)
            elif char == "#":
                self._pass(len(self.text[self.at :].split("\n", 1)[0]))
            elif char == "\n":
                self._pass(1)
                self._skip_heredocs()
                break
            elif found := re.compile(r"\d*(<<-?(?!<)|<<<|>>|[<>]&|&>>?|>\||[<>])").match(self.text, self.at):
                self._pass(len(found[0]))
                heredoc |= self._redirect(found[1])
            elif self.text.startswith("((", self.at):  # arithmetic
                self._nested("(", ")")
            elif char in ";&|()":
                self._pass(1)
                if words or char != "(":
                    break
            else:
                began = began or self.line
                # only before a command, and behind export and the like, is NAME=$VALUE one word whatever the value holds
                words += self._word(sets=not words or words[0] in SETS or all(map(ASSIGNMENT.match, words)))
        while words and words[0] in BEFORE:
            words.pop(0)
        sets: dict[str, Word] = {}
        while words and (found := ASSIGNMENT.match(words[0])):
            first = words.pop(0)
            value = word(first[found.end() :], outside=first.outside, unknown=first.unknown)
            sets[found[1]] = self._added(found[1], value) if found[2] else value
        if not words and not sets:
            return None
        return Statement(began, tuple(words), sets, heredoc, tuple(dict.fromkeys(self.unset)))

    def _added(self, name: str, value: Word) -> Word:
        old = self.variables.get(name, Word())
        return word(old + value, outside=old.outside or value.outside, unknown=old.unknown + value.unknown)

    def _remember(self, made: Statement) -> None:
        if not made.words:
            self.variables.update(made.sets)
        elif made.words[0] in SETS:
            for item in made.words[1:]:
                if found := ASSIGNMENT.match(item):
                    self.variables[found[1]] = word(
                        item[found.end() :], outside=item.outside, unknown=item.unknown
                    )
        elif made.words[0] in HIDDEN:
            self.hidden = True
            for item in made.words[1:]:
                self.variables.pop(str(item), None)
        elif made.words[0] in ("for", "select") and len(made.words) > 1:
            self.variables[made.words[1]] = word(f"${made.words[1]}", unknown=(f"${made.words[1]}",))
        elif made.words[0] == "unset":
            for item in made.words[1:]:
                self.variables.pop(str(item), None)

    def _redirect(self, how: str) -> bool:
        """Past where something is led to; whether it is a here-document."""
        while self.at < len(self.text) and self.text[self.at] in " \t":
            self.at += 1
        start = self.at
        if self.text.startswith(("(", "-"), self.at):  # >(…) and <&-
            self._pass(1)
            return False
        self._word(quiet=True)
        if how.startswith("<<") and how != "<<<":
            self._heredocs.append((re.sub(r"['\"\\]", "", self.text[start : self.at]), how.endswith("-")))
            return True
        return False

    def _skip_heredocs(self) -> None:
        for end, tabs in self._heredocs:
            while self.at < len(self.text):
                row = self.text[self.at :].split("\n", 1)[0]
                self._pass(len(row) + 1)
                if (row.lstrip("\t") if tabs else row) == end:
                    break
        self._heredocs = []

    def _word(self, *, quiet: bool = False, sets: bool = False) -> list[Word]:
        """The words that the next piece of text becomes: none where an unquoted variable is empty, several where it holds blanks."""
        made = Fields()
        while self.at < len(self.text) and self.text[self.at] not in " \t\n;&|()<>":
            char = self.text[self.at]
            if char == "'":
                made.add(self._until("'"), quoted=True)
            elif char == '"':
                self._double(made)
            elif char == "\\":
                if self.text.startswith("\\\n", self.at):
                    self._pass(2)
                    continue
                made.add(self.text[self.at + 1 : self.at + 2], quoted=True)
                self._pass(2)
            elif self.text.startswith("$'", self.at):
                self._pass(1)
                made.add(ESCAPE.sub(_escaped, self._until("'")), quoted=True)
            elif found := ALL.match(self.text, self.at):
                made.several(self._elements(found), quoted=False)
            elif char in "$`":
                made.value(self._dollar(quiet), quoted=sets and made.assigns)
            else:
                made.add(char)
                self._pass(1)
                if char == "=" and self.text.startswith("(", self.at):
                    self._array(made.text, self._nested("(", ")")[1:-1])
                    return [word(made.text)]
        return made.words()

    def _array(self, start: str, inside: str) -> None:
        """`NAME=(…)` and `NAME+=(…)`."""
        nested = _Shell(inside, self.variables, self.line, self.hidden, self.depth + 1)
        nested.arrays = self.arrays
        items: list[Word] = []
        while nested.at < len(nested.text):
            before = nested.at
            if nested.text[before] == "#":
                nested._pass(len(nested.text[before:].split("\n", 1)[0]))
            items += nested._word()
            nested.at += nested.at == before
        name = start.rstrip("=").rstrip("+")
        self.arrays[name] = [*(self.arrays.get(name, []) if start.endswith("+=") else []), *items]

    def _elements(self, found: re.Match[str]) -> list[Word]:
        """Of `${NAME[@]}`."""
        self._pass(len(found[0]))
        if found[1] in self.arrays or not self.hidden:
            return self.arrays.get(found[1], [])
        return [only_a_run(found[0])]

    def _double(self, made: Fields) -> None:
        began = self.line
        self._pass(1)
        empty = 0  # arrays without an element: `"${NONE[@]}"` is no word at all
        start = self.at
        while self.at < len(self.text) and self.text[self.at] != '"':
            char = self.text[self.at]
            if char == "\\" and self.text[self.at + 1 : self.at + 2] in ("$", "`", '"', "\\", "\n"):
                made.add(self.text[self.at + 1].replace("\n", ""), quoted=True)
                self._pass(2)
            elif found := ALL.match(self.text, self.at):
                items = self._elements(found)
                empty += 0 if items else len(found[0])
                made.several(items, quoted=True)
            elif char in "$`":
                made.value(self._dollar(False), quoted=True)
            else:
                made.add(char, quoted=True)
                self._pass(1)
        if self.at >= len(self.text):
            raise Unreadable(began, "unexpected EOF while looking for matching `\"'")
        if not empty or empty < self.at - start:
            made.add("", quoted=True)
        self._pass(1)

    def _dollar(self, quiet: bool) -> Word:
        """What `$…` or a backtick stands for."""
        if self.text[self.at] == "`":
            line = self.line
            inner = self._until("`")
            return self._substituted(f"`{inner}`", inner, line)
        self._pass(1)
        if self.text.startswith("((", self.at):
            return only_a_run("$" + self._nested("(", ")"))
        if self.text.startswith("(", self.at):
            line = self.line
            whole = self._nested("(", ")")
            return self._substituted(f"${whole}", whole[1:-1], line)
        if self.text.startswith("{", self.at):
            return self._parameter(self._nested("{", "}")[1:-1])
        if found := NAME.match(self.text, self.at):
            self._pass(len(found[0]))
            return self._value(found[0], quiet)
        if found := re.compile(r"[0-9@*#?$!-]").match(self.text, self.at):
            self._pass(1)
            return only_a_run(f"${found[0]}")
        return Word("$")

    def _substituted(self, whole: str, inner: str, line: int) -> Word:
        """A command whose output is put there: it is read for what it asks of `az`, not run."""
        nested = _Shell(inner, dict(self.variables), line, self.hidden, self.depth + 1)
        nested.arrays = dict(self.arrays)
        self._inner += nested.statements()
        return only_a_run(whole)

    def _parameter(self, inside: str) -> Word:
        if NAME.fullmatch(inside):
            return self._value(inside, False)
        found = PARAMETER.fullmatch(inside)
        if found is None or found[2] in ("+", ":+"):
            return only_a_run(f"${{{inside}}}")
        name, how, otherwise = found.groups()
        held = self.variables.get(name)
        if held is not None and (held or not how.startswith(":")):
            return held
        if how.endswith("?"):
            self.unset.append((self.line, name))
            return Word()
        inner = _Shell(f'"{otherwise}"', self.variables, self.line, self.hidden, self.depth + 1)
        (given,) = inner._word() or (Word(),)
        if how.endswith("="):
            self.variables[name] = given
        return given

    def _value(self, name: str, quiet: bool) -> Word:
        if name in self.variables:
            return self.variables[name]
        if self.hidden or name in ("RANDOM", "SECONDS", "PWD", "HOSTNAME", "UID", "BASH_SOURCE", "LINENO"):
            return only_a_run(f"${name}")
        if not quiet:
            self.unset.append((self.line, name))
        return Word()


def _escaped(found: re.Match[str]) -> str:
    text = found[1]
    return chr(int(text[1:], 16)) if text[0] == "x" else {"n": "\n", "r": "\r", "t": "\t"}.get(text, text)
