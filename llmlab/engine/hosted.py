"""llama-server's flags as the wheel's engine can honour them: the rows of `hosted.txt`, and their help text.

`host.py` prints the rows as `--help`; `settings.py` turns a command line into what they set.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One flag: spellings, the hint of its value (None: a switch), its variable, what it sets, its help."""

    names: tuple[str, ...]
    hint: str | None
    env: str | None
    sets: str
    help: str

    @property
    def key(self) -> str:
        """The first long spelling, without dashes."""
        return next(name for name in self.names if name.startswith("--")).lstrip("-")

    def negates(self, name: str) -> bool:
        """Whether this spelling is the "--no-" half of a pair."""
        return self.sets.startswith(("pair", "unpair")) and name.startswith(("--no-", "-no", "-nk", "-nr"))

    def text(self) -> str:
        """The flag as llama-server's --help lays it out (common_arg::to_string): help from column 40."""
        first, *rest = self.names
        head = first if not rest else f"{first}, ".ljust(7) + ", ".join(rest)
        head += f" {self.hint}" if self.hint else ""
        body = [*_wrapped(self.help), *([f"(env: {self.env})"] if self.env else [])]
        start = head.ljust(40) if len(head) <= 37 else f"{head}\n{' ' * 40}"
        return start + f"\n{' ' * 40}".join(body)


def _wrapped(text: str, width: int = 70) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def rows() -> tuple[Row, ...]:
    """Every flag the wheel's engine honours, in the order of llama-server's --help."""
    found = []
    for line in (Path(__file__).parent / "hosted.txt").read_text("utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        # " |" parts the columns; a hint such as <0|1> has its bars without spaces
        names, hint, env, sets, text = (part.strip() for part in line.split(" |", 4))
        found.append(Row(tuple(names.split(", ")), hint or None, env or None, sets, text))
    return tuple(found)
