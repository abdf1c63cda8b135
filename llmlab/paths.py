"""Where llmlab keeps things: cache, state, run folders, the course itself.

Nothing here creates a folder until it is asked for one that will be written to.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .errors import LabError


def _base(env: str, linux: str, mac: str) -> Path:
    if os.environ.get(env):
        return Path(os.environ[env]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / mac / "llmlab"
    xdg = {".cache": "XDG_CACHE_HOME", ".local/state": "XDG_STATE_HOME"}[linux]
    root = os.environ.get(xdg)
    return (Path(root) if root else Path.home() / linux) / "llmlab"


def cache_dir() -> Path:
    """Downloads and builds, keyed by version; `LLMLAB_CACHE` moves it."""
    path = _base("LLMLAB_CACHE", ".cache", "Caches")
    path.mkdir(parents=True, exist_ok=True)
    return path


def shared_cache_dir() -> Path | None:
    """A second, read-only cache for a classroom, from `LLMLAB_SHARED_CACHE`; None when unset."""
    value = os.environ.get("LLMLAB_SHARED_CACHE")
    return Path(value).expanduser() if value else None


def cached(relative: str) -> Path | None:
    """The first existing copy of `relative` in the user's cache, then in the shared one."""
    for root in (cache_dir(), shared_cache_dir()):
        if root is not None and (root / relative).exists():
            return root / relative
    return None


def state_dir() -> Path:
    """What is running and what was measured; `LLMLAB_STATE` moves it."""
    path = _base("LLMLAB_STATE", ".local/state", "Application Support")
    path.mkdir(parents=True, exist_ok=True)
    return path


def course_dir(start: Path | None = None) -> Path:
    """The folder that holds `labs/`: found upwards from `start` (default: here), else beside the package.

    :raises LabError: when there is no course in sight.
    """
    if os.environ.get("LLMLAB_COURSE"):
        return Path(os.environ["LLMLAB_COURSE"]).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if any((folder / "labs").glob("*/lab.toml")):
            return folder
    raise LabError(
        "No labs found.",
        where=f"looked upwards from {here}",
        fix="cd into a clone of the course, or set LLMLAB_COURSE to it",
    )
