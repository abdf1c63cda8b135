"""The executed notebook: the instructor's copy with the learner's answer cells, run by papermill through a sandbox.

Papermill loads, parameterises and writes the notebook as always; the engine registered here runs the cells inside
(`llmlab.grade.inside`) instead of in a kernel of the grader's.
"""

# mypy: allow-untyped-calls
# (nbformat is only partly annotated)

from __future__ import annotations

import copy
import functools
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..checks.page import page
from ..checks.result import Result
from ..checks.talk import Ended, converse
from ..course.info import LabInfo
from ..lab.lab import VERDICT
from ..load.turn import Turn
from ..system.paths import replace_file
from .sandbox import Sandbox
from .schema import CellRun, NotebookRun

ENGINE = "llmlab"
MOST_ANSWERS = 100
Scalar = float | int | str | bool | None
Answers = dict[str, Scalar | list[Scalar]]


class _CellEvent(msgspec.Struct, forbid_unknown_fields=True):
    event: str
    id: str
    status: str
    outputs: list[dict[str, Any]]
    count: int
    seconds: float


def run_notebook(
    info: LabInfo,
    box: Sandbox,
    *,
    files: Path,
    cells: Mapping[str, str],
    seed: int,
    wall: float,
    answer: float,
    turn: Turn | None = None,
) -> tuple[Any, NotebookRun, str]:
    """Run the lab's notebook with the learner's answer cells and files inside `box`.

    :param cells: answer-cell id -> the learner's source.
    :param wall: seconds for the whole notebook.
    :param answer: seconds for each answer cell.
    :return: the executed notebook (nbformat), how it went, and the answers as the text that came out (unchecked).
    """
    process = box.popen(["-m", "llmlab.grade.inside"])  # starts while papermill, once, is imported
    papermill = _papermill()
    notebook = copy.deepcopy(_template(info.notebook))
    answer_cells = set()
    for cell in notebook.cells:
        if "answer" in cell.metadata.get("tags", []):
            answer_cells.add(cell.id)
            cell.source = cells.get(cell.id, cell.source)
    outcome: dict[str, Any] = {"cells": [], "answers": "", "ended": Ended("end", 0, "")}
    work = str(box.work / "files")
    try:
        executed = papermill.execute_notebook(
            notebook,
            None,
            parameters={"submission": work, "seed": seed},
            engine_name=ENGINE,
            request_save_on_cell_execute=False,
            progress_bar=False,
            box=box,
            process=process,
            order={"files": str(files), "work": work},
            quick=dict.fromkeys(answer_cells, answer),
            wall=wall,
            turn=turn,
            outcome=outcome,
        )
    except papermill.PapermillExecutionError:  # a cell failed; papermill has marked it in the notebook
        executed = outcome["notebook"]
    return executed, _how_it_went(outcome, wall), outcome["answers"]


def _how_it_went(outcome: dict[str, Any], wall: float) -> NotebookRun:
    ended: Ended = outcome["ended"]
    cells: list[CellRun] = outcome["cells"]
    seconds = outcome.get("seconds", 0.0)
    if outcome.get("end"):
        return NotebookRun(status="ran", cells=cells, seconds=seconds)
    reasons = {
        "wall": f"it was stopped after {wall:.0f} s",
        "flood": "it was stopped because it wrote without end",
    }
    reason = reasons.get(ended.why, f"its process ended with code {ended.code} before the last cell")
    if outcome.get("memory"):
        reason = "it was stopped because it used more memory than a submission may"
    elif outcome.get("stuck"):
        reason = "a cell could not be stopped when its time was over"
    return NotebookRun(status="stopped", reason=reason, cells=cells, seconds=seconds)


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


def show_verdict(notebook: Any, result: Result) -> None:
    """Put what the grader found where the notebook's own `lab.check()` stands; of a cell that checks a few, those."""
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if VERDICT in output.get("data", {}):
                said = output["data"][VERDICT]
                only = said.get("only") if isinstance(said, dict) else None  # of a cell that checks a few
                shown = [outcome for outcome in result.outcomes if not only or outcome.check in only]
                part = msgspec.structs.replace(result, outcomes=shown)
                output["data"] = {"text/plain": str(part), "text/html": page(part)}


def write_notebook(notebook: Any, path: Path) -> None:
    """Write it whole or not at all."""
    import nbformat

    replace_file(path, nbformat.writes(notebook).encode("utf-8", "backslashreplace"))


@functools.lru_cache(maxsize=16)
def _template(path: Path) -> Any:
    _papermill()
    import nbformat

    return nbformat.read(path, 4)


@functools.cache
def _papermill() -> Any:
    """Papermill with our engine, imported once for a whole batch."""
    import sys

    # jsonschema looks for this module only to check URIs, which no notebook has; importing it takes a second.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    import papermill
    from papermill.engines import Engine, papermill_engines

    class SandboxEngine(Engine):  # type: ignore[misc]
        """Runs all cells in a sandbox, whatever fails on the way, and takes only what fits the schema."""

        @classmethod
        def execute_managed_notebook(
            cls,
            nb_man: Any,
            kernel_name: str,
            *,
            box: Sandbox,
            process: subprocess.Popen[bytes],
            order: dict[str, Any],
            quick: Mapping[str, float],
            wall: float,
            turn: Turn | None,
            outcome: dict[str, Any],
            **_: Any,
        ) -> None:
            outcome["notebook"] = nb_man.nb
            code = [cell for cell in nb_man.nb.cells if cell.cell_type == "code"]
            waiting = {cell.id: cell for cell in code}
            total = 0.0

            def hear(event: dict[str, Any]) -> None:
                nonlocal total
                if event["event"] == "end" and isinstance(event.get("answers"), str):
                    outcome["answers"], outcome["end"] = event["answers"], True
                elif event["event"] == "stuck":
                    outcome["stuck"] = True
                elif event["event"] == "cell":
                    try:
                        one = msgspec.convert(event, _CellEvent)
                        cell = waiting.pop(one.id)
                        outputs = [_output(output) for output in one.outputs]
                    except (msgspec.ValidationError, KeyError, TypeError, ValueError):
                        return  # forged, or a second time: the first word counts
                    cell.outputs, cell.execution_count = outputs, one.count
                    total += one.seconds
                    nb_man.cell_start(cell)
                    if one.status != "ok":
                        nb_man.cell_exception(cell)
                        outcome["cells"].append(_failed(one))
                    nb_man.cell_complete(cell)

            orders = [
                {"id": cell.id, "source": cell.source, "seconds": min(wall, quick.get(cell.id, wall))}
                for cell in code
            ]
            outcome["ended"] = converse(
                process, order | {"cells": orders}, on_event=hear, wall=wall, turn=turn
            )
            outcome["memory"] = box.cage.out_of_memory()
            outcome["seconds"] = round(total, 3)
            outcome["cells"] += [CellRun(id=cell, status="not run") for cell in waiting]

    papermill_engines.register(ENGINE, SandboxEngine)
    return papermill


def _failed(cell: _CellEvent) -> CellRun:
    error = next((output for output in cell.outputs if output.get("output_type") == "error"), {})
    message = f"{error.get('ename', '')}: {error.get('evalue', '')}".strip(": ").splitlines()
    status = cell.status if cell.status == "timeout" else "error"
    return CellRun(id=cell.id, status=status, message=message[0][:300] if message else "")


def _output(raw: dict[str, Any]) -> Any:
    """One output, if nbformat would take it."""
    import nbformat

    node = nbformat.from_dict(raw)
    nbformat.validate(node, ref="output", version=4, version_minor=5)
    return node
