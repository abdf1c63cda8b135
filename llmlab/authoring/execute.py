"""Run a solution once for the outputs that are compared later, in a copy of the course."""

# mypy: allow-untyped-calls
# (nbformat is only partly annotated)

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ..errors import LabError
from .source import Source, SourceCell

LEFT_BEHIND = shutil.ignore_patterns("records", ".llmlab", ".ipynb_checkpoints", "__pycache__")
ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


def execute(source: Source, course: Path, *, timeout: int = 600) -> dict[str, list[dict[str, Any]]]:
    """Outputs of the cells tagged `compare`, by cell id.

    Runs up to the last such cell, in the solution's folder of a temporary copy of the course, so that
    `Lab.here()` finds the worked files and nothing is written into the real course. `timeout`: s a cell.

    :raises LabError: naming the cell's line when it fails, or when its output cannot be the same twice.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    last = max(n for n, cell in enumerate(source.cells) if "compare" in cell.tags)
    ran = [cell for cell in source.cells[: last + 1] if cell.kind == "code"]
    notebook = new_notebook(
        cells=[new_code_cell(c.for_solution, id=c.id, metadata={"tags": list(c.tags)}) for c in ran],
        metadata={
            "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
        },
    )
    with tempfile.TemporaryDirectory(prefix="llmlab-author-") as folder:
        copy = Path(folder).resolve()
        for part in ("labs", "solutions", "data"):
            if (course / part).is_dir():
                shutil.copytree(course / part, copy / part, ignore=LEFT_BEHIND)
        here = copy / "solutions" / source.name
        client = NotebookClient(
            notebook, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(here)}}
        )
        environment = {**os.environ, "LLMLAB_COURSE": str(copy)}
        try:
            client.execute(env=environment)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            failed = next((c for c, n in zip(ran, notebook.cells, strict=True) if _unfinished(n)), ran[-1])
            raise LabError(
                f"The solution does not run: {_reason(error)}",
                where=source.where(failed),
                fix="run it: jupyter lab " + str(source.path),
                without="llmlab.authoring.build(course, execute=False) keeps the stored outputs",
            ) from None
        outputs = {}
        for cell, done in zip(ran, notebook.cells, strict=True):
            if "compare" in cell.tags:
                outputs[cell.id] = [_settled(output) for output in done.outputs]
                _refuse_volatile(source, cell, outputs[cell.id], str(copy))
    return outputs


def _unfinished(cell: Any) -> bool:
    """Whether this is the cell that failed: it has an error, or never came to its reply."""
    wanted = "raises-exception" in cell.metadata.get("tags", [])
    errors = any(output.output_type == "error" for output in cell.outputs)
    replied = "shell.execute_reply" in cell.metadata.get("execution", {})
    return (errors and not wanted) or not replied


def _reason(error: Exception) -> str:
    name, value = getattr(error, "ename", None), getattr(error, "evalue", "")
    if name:
        return f"{name}: {str(value).splitlines()[0] if value else ''}".rstrip(": ")
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _settled(output: Any) -> dict[str, Any]:
    """Without what differs from run to run by nature."""
    kept = dict(output)
    if "metadata" in kept:
        kept["metadata"] = {}
    return kept


def _refuse_volatile(source: Source, cell: SourceCell, outputs: list[dict[str, Any]], folder: str) -> None:
    text = json.dumps(outputs)
    why = None
    if not outputs:
        why = "it has no output"
    elif "image/png" in text or "<img" in text:
        why = "it shows a picture"
    elif folder in text:
        why = "it names a temporary folder"
    elif address := ADDRESS.search(text):
        why = f"it shows a memory address, {address[0]}"
    if why:
        raise LabError(
            f"The output of {cell.id!r} cannot be compared: {why}.",
            where=source.where(cell),
            fix="show only what is the same every time, or drop the tag compare",
        )
