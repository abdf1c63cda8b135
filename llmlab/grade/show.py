"""The bar of a class being graded: who is at what, how long it will take; a plain line each where there is no terminal."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from ..submissions.handed_in import Submission
from ..submissions.text import printable
from .schema import Graded
from .words import number


class Board:
    """What the batch tells, shown as it comes."""

    def __init__(self, total: int, out: TextIO, bar: tqdm | None) -> None:  # type: ignore[type-arg]
        self.total, self.out, self.bar = total, out, bar
        self._done: set[str] = set()
        self._at: dict[str, str] = {}
        self._lock = threading.Lock()

    def say(self, submission: Submission, text: str) -> None:
        """A submission has come to a step."""
        with self._lock:
            self._at[submission.key] = text
            if self.bar is not None:
                self.bar.set_postfix_str(
                    " · ".join(f"{printable(key)[:20]}: {step}" for key, step in self._at.items())
                )

    def heard(self, graded: Graded, resumed: bool) -> None:
        """A result is there."""
        with self._lock:
            again = graded.key in self._done
            self._done.add(graded.key)
            self._at.pop(graded.key, None)
            text = f"[{len(self._done)}/{self.total}] {printable(graded.learner)}: {_says(graded)}"
            text += " (graded before, nothing has changed)" if resumed else f" ({graded.seconds:.0f} s)"
            if self.bar is not None:
                self.bar.update(0 if again else 1)
                self.bar.write(text, file=self.out)
            else:
                self.out.write(text + "\n")
                self.out.flush()


def _says(graded: Graded) -> str:
    if graded.result is None:
        reason = (graded.reason or "").strip().splitlines()
        return f"{graded.status}, {printable(reason[0] if graded.status == 'refused' else reason[-1])}"
    unsure = [outcome.check for outcome in graded.result.outcomes if outcome.status == "inconclusive"]
    text = f"{number(graded.result.points)} of {number(sum(outcome.max_points for outcome in graded.result.outcomes))}"
    if graded.result.failing:
        text += ", failed " + ", ".join(graded.result.failing)
    return text + (f", inconclusive {', '.join(unsure)}" if unsure else "")


@contextmanager
def board(total: int, *, quiet: bool = False) -> Iterator[Board]:
    """A board on the terminal; on stderr when stdout is for a program (`quiet`)."""
    out = sys.stderr if quiet else sys.stdout
    if not sys.stderr.isatty():
        yield Board(total, out, None)
        return
    form = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} gone, about {remaining} left  {postfix}"
    with tqdm(total=total, desc="grading", bar_format=form, file=sys.stderr, leave=False) as bar:
        yield Board(total, out, bar)
