"""What a notebook's cells told from their sandbox, as far as it can be taken."""

# mypy: allow-untyped-calls
# (nbformat is only partly annotated)

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..checks.talk import Ended
from .schema import CellRun, NotebookRun


class CellEvent(msgspec.Struct, forbid_unknown_fields=True):
    """What was told of a cell that has ended."""

    event: str
    id: str
    status: str
    outputs: list[dict[str, Any]]
    count: int
    seconds: float


class Telling:
    """What a notebook's cells told: each cell's first word, with outputs that fit nbformat's schema; all else is forged or a mistake."""

    def __init__(self, cells: Iterable[str]) -> None:
        self.answers = ""  # as the text that came out (unchecked)
        self._waiting = dict.fromkeys(cells)
        self._runs: list[CellRun] = []
        self._seconds = 0.0
        self._whole = self._stuck = False

    def hear(self, event: dict[str, Any]) -> tuple[CellEvent, list[Any]] | None:
        """A cell that has ended, with its outputs; None for anything else."""
        if event["event"] == "end" and isinstance(event.get("answers"), str):
            self.answers, self._whole = event["answers"], True
        elif event["event"] == "stuck":
            self._stuck = True
        elif event["event"] == "cell":
            try:
                ended = msgspec.convert(event, CellEvent)
                outputs = [_output(output) for output in ended.outputs]
                del self._waiting[ended.id]
            except (msgspec.ValidationError, KeyError, TypeError, ValueError):
                return None  # forged, or a second time: the first word counts
            self._seconds += ended.seconds
            if ended.status != "ok":
                self._runs.append(_failed(ended))
            return ended, outputs
        return None

    def how_it_went(self, ended: Ended, *, memory: bool, wall: float) -> NotebookRun:
        """In short, once nothing more comes.

        :param memory: the system has ended something for want of memory.
        """
        cells = [*self._runs, *(CellRun(id=cell, status="not run") for cell in self._waiting)]
        seconds = round(self._seconds, 3)
        if self._whole:
            return NotebookRun(status="ran", cells=cells, seconds=seconds)
        reasons = {
            "wall": f"it was stopped after {wall:.0f} s",
            "flood": "it was stopped because it wrote without end",
        }
        reason = reasons.get(ended.why, f"its process ended with code {ended.code} before the last cell")
        if memory:
            reason = "it was stopped because it used more memory than a submission may"
        elif self._stuck:
            reason = "a cell could not be stopped when its time was over"
        return NotebookRun(status="stopped", reason=reason, cells=cells, seconds=seconds)


def _failed(cell: CellEvent) -> CellRun:
    error = next((output for output in cell.outputs if output.get("output_type") == "error"), {})
    message = f"{error.get('ename', '')}: {error.get('evalue', '')}".strip(": ").splitlines()
    status = cell.status if cell.status == "timeout" else "error"
    return CellRun(id=cell.id, status=status, message=message[0][:300] if message else "")


def _output(raw: dict[str, Any]) -> Any:
    """One output, if nbformat would take it."""
    import sys

    # jsonschema looks for this module only to check URIs, which no output has; importing it takes a second.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import nbformat

    node = nbformat.from_dict(raw)
    try:
        nbformat.validate(node, ref="output", version=4, version_minor=5)
    except nbformat.ValidationError as error:
        raise ValueError(str(error)) from None
    return node
