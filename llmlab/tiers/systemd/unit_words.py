"""A command line in a unit file, in words, as systemd takes it apart (systemd.syntax(7), "Quoting")."""

from __future__ import annotations

import re

_ESCAPED = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "s": " ", "\\": "\\", '"': '"', "'": "'",
}  # fmt: skip
_CODE = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})")


def split(line: str) -> list[str]:
    """The words of a line: quotes around all or a part of one, backslashes as in C; `%%` is a percent sign.

    :raises ValueError: when a quote is not closed.
    """
    words: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(line):
        letter = line[at]
        at += 1
        if letter == "\\" and at < len(line):
            text, at = _escape(line, at)
            word = (word or "") + text
        elif quote:
            if letter == quote:
                quote = ""
            else:
                word = (word or "") + letter
        elif letter in "\"'":
            quote, word = letter, word or ""
        elif letter.isspace():
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + letter
    if quote:
        raise ValueError(f"a {quote} is not closed")
    if word is not None:
        words.append(word)
    return [word.replace("%%", "%") for word in words]


def _escape(line: str, at: int) -> tuple[str, int]:
    """What a backslash before `at` stands for, and where the line goes on."""
    if line[at] in _ESCAPED:
        return _ESCAPED[line[at]], at + 1
    code = _CODE.match(line, at)
    if code is None:
        return "\\" + line[at], at + 1
    value = int(code[4], 8) if code[4] else int(code[1] or code[2] or code[3], 16)
    return (chr(value) if value <= 0x10FFFF else code[0]), code.end()
