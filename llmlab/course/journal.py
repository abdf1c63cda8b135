"""What a learner guessed, did and saw, in the order in which it happened: `records/journal.jsonl`, an entry a line.

A prediction, a measurement, a check, a hint, an incident and the end of it are one kind of record, after the experiments of
chaos engineering: what was predicted, what was done, what was observed, what was restored.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from ..plain import plain

NAME = "journal.jsonl"
LONGEST = 4096  # bytes of a line; what is longer was not written by `note`
#: What an entry may hold as a value: a guess, or a figure.
Value = float | int | str | bool | None


class Noted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the journal. Of the four parts only those are there that the entry has."""

    at: str  # ISO 8601, UTC
    what: str  # of what: a prediction's name, a measurement's kind, a check's name, an incident
    predicted: Value = None  # the learner's guess
    done: str | None = None  # what was done, in words or as the call
    observed: Value = None  # what was seen then
    restored: str | None = None  # what was put right again
    record: str | None = None  # the file below `records/` that holds the figures

    def words(self) -> str:
        """The entry in a line, without its time."""
        if self.predicted is not None and self.observed is not None:
            return f"{self.what}: you said {said(self.predicted)}, measured {said(self.observed)}"
        parts = [f"{self.what}:"] if self.predicted is not None or self.done is None else [self.done]
        if self.predicted is not None:
            parts.append(f"you said {said(self.predicted)}")
        if self.observed is not None:
            parts.append(f"→ {said(self.observed)}" if self.done else f"observed {said(self.observed)}")
        if self.restored is not None:
            parts.append(f"restored: {self.restored}")
        return " ".join(parts)


def said(value: Value) -> str:
    """A value as one says it: yes and no for a truth, three digits of a number."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _path(files: Path) -> Path:
    return files / "records" / NAME


def note(
    files: Path,
    what: str,
    *,
    predicted: Value = None,
    done: str | None = None,
    observed: Value = None,
    restored: str | None = None,
    record: str | None = None,
) -> Noted:
    """Write an entry at the end of the journal of these files. A folder that cannot be written to is no reason to fail.

    :param files: the folder in which the learner works.
    """
    entry = Noted(
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        what=what,
        predicted=predicted,
        done=done,
        observed=observed,
        restored=restored,
        record=record,
    )
    path = _path(files)
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        # One write at the end of the file: two kernels that note at once do not mix their lines.
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            os.write(handle, msgspec.json.encode(entry) + b"\n")
        finally:
            os.close(handle)
    return entry


def read(files: Path) -> list[Noted]:
    """All entries, oldest first; none where there is no journal."""
    try:
        return loads(_path(files).read_bytes())
    except OSError:
        return []


def loads(data: bytes) -> list[Noted]:
    """The entries of such a file, oldest first; a line that is none (cut off by a full disk, or edited) is left out."""
    entries = []
    for line in data.splitlines():
        with contextlib.suppress(msgspec.MsgspecError):
            if len(line) <= LONGEST:
                entries.append(msgspec.json.decode(line, type=Noted))
    return entries


def guess(files: Path, what: str) -> Value:
    """The newest prediction of this name; None where there is none."""
    return next((entry.predicted for entry in reversed(read(files)) if entry.what == what and entry.done is None
                 and entry.predicted is not None and entry.observed is None), None)  # fmt: skip


def answer(name: str, predicted: Value, measured: Value) -> str:
    """What a measurement says to a guess: `gain: you said 2, measured 1.6 (you were 25 % above)`."""
    if predicted is None:
        return f"{name}: measured {said(measured)}; you made no guess"
    text = f"{name}: you said {said(predicted)}, measured {said(measured)}"
    if isinstance(predicted, bool) or isinstance(measured, bool) or not (
        isinstance(predicted, int | float) and isinstance(measured, int | float)
    ):  # fmt: skip
        return text + (" ✔" if predicted == measured else "")
    if predicted == measured:
        return text + " ✔"
    if measured == 0:
        return text
    off = predicted / measured - 1
    if abs(off) < 0.1:
        return text + " (within 10 % ✔)"
    if not 0.2 < predicted / measured < 5:
        return text
    return text + f" (you were {abs(off):.0%} {'above' if off > 0 else 'below'})".replace("%", " %")


class Journal:
    """The way one took through a lab, shown in a notebook as a table.

    :param title: the lab.
    :param entries: oldest first.
    """

    def __init__(self, title: str, entries: Sequence[Noted]) -> None:
        self.title, self.entries = title, list(entries)

    def lines(self) -> list[str]:
        """As plain text, an entry a line."""
        if not self.entries:
            return [f"{self.title}: nothing is written yet. Predict, measure or check something."]
        return [f"{self.title}, {len(self.entries)} entries"] + [
            f"{entry.at[:16].replace('T', ' ')}  {entry.words()}" for entry in self.entries
        ]

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def _repr_html_(self) -> str:
        if not self.entries:
            return f"<p>{plain(self.lines()[0])}</p>"
        heads = ("when (UTC)", "what", "predicted", "done", "observed", "restored", "record")
        rows = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:left">{plain(cell)}</td>'
                for cell in (
                    entry.at[5:16].replace("T", " "),
                    entry.what,
                    "" if entry.predicted is None else said(entry.predicted),
                    entry.done or "",
                    "" if entry.observed is None else said(entry.observed),
                    entry.restored or "",
                    entry.record or "",
                )
            )
            + "</tr>"
            for entry in self.entries
        )
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in heads)
        return f"<b>{plain(self.title)}</b><table><tr>{head}</tr>{rows}</table>"
