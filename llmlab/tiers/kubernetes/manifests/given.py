"""A lab's given manifests, beside the learner's own."""

from __future__ import annotations

import shutil
from pathlib import Path

from ....course.info import LabInfo


def give(info: LabInfo, files: Path) -> None:
    """Put the lab's given manifests beside the learner's, where those work elsewhere (a solution, a submission)."""
    for path in info.folder.glob("*.yaml"):
        if path.name not in info.artifacts and files != info.folder:
            shutil.copy(path, files / path.name)
