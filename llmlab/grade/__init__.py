"""Submissions in, results out: what a class handed in is taken apart safely, run in a sandbox, probed, and written up.

What a check is and how one deployment is probed lives in `llmlab.checks`; here is what makes it hold for thirty strangers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batch import Grading, Settings
    from .gradebook import summary
    from .one import grade
    from .schema import Graded

# On first use: what runs inside a sandbox lies in this package too, and must start quickly.
_HOME = {"Graded": "schema", "Grading": "batch", "Settings": "batch", "grade": "one", "summary": "gradebook"}

__all__ = ["Graded", "Grading", "Settings", "grade", "summary"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'llmlab.grade' has no attribute {name!r}")
