"""Compiling with numba, and where what was compiled is kept."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from ..errors import LabError
from ..system.paths import cache_dir

F = TypeVar("F", bound=Callable[..., Any])


def _folder() -> str:
    """Where compiled code is kept: one folder for each state of the sources.

    numba's own choice is beside the sources, where a learner may not write, and it does not notice when a function that was
    compiled in, of another file, has changed.
    """
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    try:
        root = cache_dir()
    except LabError:
        root = Path(tempfile.gettempdir()) / "llmlab"
    return str(root / "numba" / hashlib.sha256(sources).hexdigest()[:16])


FOLDER = _folder()


def jit(function: F) -> F:
    """Compile `function` at its first call, and keep that for later processes where any folder can be written to."""
    return _compiled(function)


def inlined(function: F) -> F:
    """As `jit`, for what each request goes through: put whole into what calls it, which saves a third of the time."""
    return _compiled(function, forceinline=True)


def _compiled(function: F, **more: bool) -> F:
    # Without reference counts (nrt), which took nine tenths of the time: nothing here makes an array or returns one.
    options: dict[str, Any] = {"error_model": "numpy", "_nrt": False, **more}
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, FOLDER
    try:
        made: F = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder can be written to: each process compiles for itself
        made = numba.njit(**options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return made
