"""Where a good guess about the tools that run notebooks is wrong."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

DIES = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.mark.guess(
    guess="A cell that papermill marks as completed has run.",
    really="When the kernel dies, the cell that killed it and all that follow are marked `completed`, with no output; what tells is the exit "
    "code, 138.",
    version="papermill 2.7.0, nbclient 0.11.0",
    see="a notebook whose second cell ends its own kernel, and `metadata.papermill.status` in what papermill writes",
)
def test_cells_of_a_dead_kernel_are_completed(tmp_path):
    notebook = new_notebook(
        cells=[new_code_cell(source) for source in ("1", DIES, "2")],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    line = [
        sys.executable,
        "-m",
        "papermill",
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        "--no-progress-bar",
    ]
    done = subprocess.run(line, capture_output=True, text=True)
    assert done.returncode == 138, done.stderr[-1000:]
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert [cell.metadata.papermill.status for cell in cells] == ["completed"] * 3
    assert [bool(cell.outputs) for cell in cells] == [True, False, False]
