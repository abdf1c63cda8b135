"""The hint ladder: `hints.md` holds, under `## <check>`, a list of three steps.

A nudge, where to look, nearly the answer. Which steps a learner has seen is kept beside the lab.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from ..errors import LabError
from ..plain import plain
from ..system.paths import writing


def read_hints(path: Path) -> dict[str, list[str]]:
    """The steps of each check, in order."""
    hints: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            current = hints.setdefault(line[3:].strip(), [])
        elif match := re.match(r"\d+\.\s+(.*)", line):
            current.append(match[1])
        elif line.strip() and current:
            current[-1] += "\n" + line.strip()
    return hints


class Hint:
    """The steps shown so far for one check.

    :param check: its name.
    :param steps: all of them, in order.
    :param shown: how many of them.
    """

    def __init__(self, check: str, steps: list[str], shown: int) -> None:
        self.check, self.steps, self.shown = check, steps, shown

    def lines(self) -> list[str]:
        """As plain text, with how many steps are left."""
        out = [f"Hint {n} of {len(self.steps)}: {text}" for n, text in enumerate(self.steps[: self.shown], 1)]
        left = len(self.steps) - self.shown
        out.append(f"({left} more: ask again)" if left else "(that was the last one)")
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        body = "".join(
            f"<details{' open' if n == self.shown else ''}><summary>{self.check}, hint {n} of {len(self.steps)}</summary>"
            f"<p style='margin:.3em 1em'>{_inline(text)}</p></details>"
            for n, text in enumerate(self.steps[: self.shown], 1)
        )
        return body + f"<small>{self.lines()[-1]}</small>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", plain(text)).replace("\n", "<br>")


def next_hint(hints: Path, seen: Path, check: str) -> Hint:
    """One step more for a check; the last one stays.

    :param seen: the JSON file that remembers how many steps were shown.
    """
    ladder = read_hints(hints)
    if check not in ladder:
        raise LabError(f"There are no hints for {check!r}.", fix="there are hints for " + ", ".join(ladder))
    counts: dict[str, int] = {}
    if seen.exists():
        try:
            counts = json.loads(seen.read_text())
        except ValueError:
            counts = {}
    shown = min(counts.get(check, 0) + 1, len(ladder[check]))
    with writing(seen.parent):
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.write_text(json.dumps(counts | {check: shown}))
    return Hint(check, ladder[check], shown)
