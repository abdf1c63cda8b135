"""Where a llama-server comes from (a path, PATH, a native build of ours, the wheel) and which flags it takes.

What is done with one (start, measure, stop) lives in `serve` and above.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .find import Candidate, Engine, candidates, find, no_cuda
from .flags import Flag, FlagTable, Value

if TYPE_CHECKING:
    from .native import build

__all__ = ["Candidate", "Engine", "Flag", "FlagTable", "Value", "build", "candidates", "find", "no_cuda"]


def __getattr__(name: str) -> object:
    # the build brings pip, tarfile and more: only who builds pays for them
    if name == "build":
        from .native import build

        return build
    raise AttributeError(f"module 'llmlab.engine' has no attribute {name!r}")
