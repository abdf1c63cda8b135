"""What a learner answered: what the cells of the notebook gave, else what stands in them as a plain value."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import msgspec

from ..submissions.answers import from_source
from .schema import NotebookRun

MOST_ANSWERS = 100
Scalar = float | int | str | bool | None
Answers = dict[str, Scalar | list[Scalar]]


def answers_of(cells: Mapping[str, str], ran: NotebookRun, text: str) -> tuple[Answers, list[str]]:
    """What the learner answered, and a remark for each answer that is none.

    Where a cell failed or was not reached, what stands in it as a plain value counts all the same. A notebook that was stopped has told
    nothing, not even of the cells that had ended well.

    :param text: what the notebook's cells gave (unchecked).
    """
    answers, unread = read_answers(text)
    unfinished = {cell.id for cell in ran.cells} if ran.status == "ran" else set(cells)
    return _literal(cells, unfinished) | answers, unread


def read_answers(text: str) -> tuple[Answers, list[str]]:
    """The answers among what came out, and a remark for each that is none. Numbers, text, yes or no, and lists of them."""
    if not text:
        return {}, []
    try:
        raw = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        return {}, ["The answers that your cells gave could not be read; nothing of them was used."]
    found: Answers = {}
    remarks = []
    for name, value in list(raw.items())[:MOST_ANSWERS]:
        try:
            if len(value) > 10_000 or len(name) > 100:
                raise ValueError
            found[name] = msgspec.json.decode(value, type=Scalar | list[Scalar])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            remarks.append(f"The answer {name[:100]!r} is no number, text or list of those; it was not used.")
    if len(raw) > MOST_ANSWERS:
        remarks.append(f"There were {len(raw)} answers; only the first {MOST_ANSWERS} were used.")
    return found, remarks


def _literal(cells: Mapping[str, str], unfinished: set[str]) -> Answers:
    found: Answers = {}
    for source in (source for name, source in cells.items() if name in unfinished):
        for name, value in from_source(source).items():
            with suppress(msgspec.ValidationError):
                found[name] = msgspec.convert(value, Answers.__args__[1])  # type: ignore[attr-defined]
    return found
