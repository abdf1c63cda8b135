"""A place in a script's text, and the ways past quotes and brackets."""

from __future__ import annotations

from .words import Unreadable


class Cursor:
    """`at` is the place in the text, `line` its number."""

    def __init__(self, text: str, line: int = 1) -> None:
        self.text, self.at, self.line = text, 0, line

    def _pass(self, count: int) -> None:
        self.line += self.text.count("\n", self.at, self.at + count)
        self.at += count

    def _until(self, quote: str) -> str:
        began = self.line
        end = self.text.find(quote, self.at + 1)
        if end < 0:
            raise Unreadable(began, f"unexpected EOF while looking for matching `{quote}'")
        found = self.text[self.at + 1 : end]
        self._pass(end + 1 - self.at)
        return found

    def _nested(self, opens: str, closes: str) -> str:
        """From an opening bracket to the one that closes it, quotes apart."""
        began, start, depth, quote = self.line, self.at, 0, ""
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "\\" and quote != "'":
                self._pass(1)
            elif quote:
                quote = "" if char == quote else quote
            elif char in "'\"":
                quote = char
            elif char == opens:
                depth += 1
            elif char == closes:
                depth -= 1
            self._pass(1)
            if not depth and not quote:
                return self.text[start : self.at]
        raise Unreadable(began, f"unexpected EOF while looking for matching `{closes}'")
