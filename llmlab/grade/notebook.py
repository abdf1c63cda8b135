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
from typing import Any, TypedDict

import msgspec

from ..checks.page import page
from ..checks.result import Result
from ..course.info import LabInfo
from ..lab.lab import VERDICT
from ..load.turn import Turn
from ..system.paths import replace_file
from .box import Box
from .schema import NotebookRun
from .telling import Telling

ENGINE = "llmlab"


class CellOrder(TypedDict):
    """A cell to run."""

    id: str  # the cell's, in the notebook
    source: str  # as it is run
    seconds: float  # that it may take


def run_notebook(
    info: LabInfo,
    box: Box,
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
    notebook, quick = _filled_in(info, cells, answer)
    heard: dict[str, Any] = {}
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
            quick=quick,
            wall=wall,
            turn=turn,
            heard=heard,
        )
    except papermill.PapermillExecutionError:  # a cell failed; papermill has marked it in the notebook
        executed = heard["notebook"]
    told: Telling = heard["telling"]
    return (
        executed,
        told.how_it_went(heard["ended"], memory=box.cage.out_of_memory(), wall=wall),
        told.answers,
    )


def cells_to_run(
    info: LabInfo, *, cells: Mapping[str, str], seed: int, work: str, wall: float, answer: float
) -> list[CellOrder]:
    """What `run_notebook` has run in a sandbox: every code cell with its source and its seconds.

    A notebook that is run elsewhere is told again here, where papermill draws new ids for the cell that it puts in: cells are known by
    their places.
    """
    _papermill()
    from papermill.iorw import load_notebook_node
    from papermill.parameterize import parameterize_notebook

    notebook, quick = _filled_in(info, cells, answer)
    loaded = load_notebook_node(notebook)
    return _orders(parameterize_notebook(loaded, {"submission": work, "seed": seed}), quick, wall)


def _filled_in(info: LabInfo, cells: Mapping[str, str], answer: float) -> tuple[Any, dict[str, float]]:
    """The instructor's notebook with the learner's answer cells, and the seconds of each of these."""
    notebook = copy.deepcopy(_template(info.notebook))
    quick = {}
    for cell in notebook.cells:
        if "answer" in cell.metadata.get("tags", []):
            quick[cell.id] = answer
            cell.source = cells.get(cell.id, cell.source)
    return notebook, quick


def _orders(notebook: Any, quick: Mapping[str, float], wall: float) -> list[CellOrder]:
    return [
        {"id": cell.id, "source": cell.source, "seconds": min(wall, quick.get(cell.id, wall))}
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


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
            box: Box,
            process: subprocess.Popen[bytes],
            order: dict[str, Any],
            quick: Mapping[str, float],
            wall: float,
            turn: Turn | None,
            heard: dict[str, Any],
            **_: Any,
        ) -> None:
            orders = _orders(nb_man.nb, quick, wall)
            by_id = {cell.id: cell for cell in nb_man.nb.cells}
            telling = Telling(cell["id"] for cell in orders)

            def hear(event: dict[str, Any]) -> None:
                found = telling.hear(event)
                if found is not None:
                    ended, outputs = found
                    cell = by_id[ended.id]
                    cell.outputs, cell.execution_count = outputs, ended.count
                    nb_man.cell_start(cell)
                    if ended.status != "ok":
                        nb_man.cell_exception(cell)
                    nb_man.cell_complete(cell)

            heard |= {"notebook": nb_man.nb, "telling": telling}
            heard["ended"] = box.talk(process, order | {"cells": orders}, on_event=hear, wall=wall, turn=turn)

    papermill_engines.register(ENGINE, SandboxEngine)
    return papermill
