"""One source per lab, `solutions/NN-slug/lab.py`, made into the learner's notebook and the solution notebook.

Nothing here is needed to take the course; `jupytext` comes with the extra `author`.
"""

from __future__ import annotations

from .build import build, learner, solution
from .drift import check
from .lint import Drift, lint
from .scaffold import course_for, new
from .source import Source, SourceCell, read, sources

__all__ = [
    "Drift",
    "Source",
    "SourceCell",
    "build",
    "check",
    "course_for",
    "learner",
    "lint",
    "new",
    "read",
    "solution",
    "sources",
]  # fmt: skip
