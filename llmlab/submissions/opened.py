"""A submission to work on: a folder as it is, or what is taken out of a zip or a lone notebook."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from ..course.info import OTHER_NOTEBOOK, LabInfo
from ..errors import LabError


def opened(submission: Path, info: LabInfo) -> Path:
    """A lab's folder as it is; of anything else the lab's files and answers, in a folder that goes with this process."""
    if not submission.exists():
        raise LabError("There is no such submission.", where=str(submission))
    # What a grader gives is taken out already, and empty for a lab without files to hand in.
    taken_out = bool(os.environ.get("LLMLAB_GRADING"))
    if submission.is_dir() and (
        taken_out
        or any((submission / name).exists() for name in (*info.artifacts, info.notebook.name, OTHER_NOTEBOOK))
    ):
        return submission.resolve()
    from .submission import take

    folder = Path(tempfile.mkdtemp(prefix="llmlab-submission-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    taken = take(submission, info, folder / "files")
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["answer"]}, "source": source}
        for source in taken.cells.values()
    ]
    (taken.folder / OTHER_NOTEBOOK).write_text(
        json.dumps({"cells": cells}), encoding="utf-8"
    )  # where answers are read
    for remark in taken.remarks:
        warnings.warn(remark, stacklevel=3)
    return taken.folder
