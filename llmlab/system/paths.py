"""Where llmlab keeps things: cache, state, run folders, the course itself.

Nothing here creates a folder until it is asked for one that will be written to.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import LabError


def _base(env: str, linux: str, mac: str) -> Path:
    if os.environ.get(env):
        return Path(os.environ[env]).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / mac / "llmlab"
    xdg = {".cache": "XDG_CACHE_HOME", ".local/state": "XDG_STATE_HOME"}[linux]
    root = os.environ.get(xdg)
    return (Path(root) if root else Path.home() / linux) / "llmlab"


@contextlib.contextmanager
def writing(
    folder: Path, fix: str = "copy the course to a folder of your own and open it there"
) -> Iterator[None]:
    """Round what writes below a folder of the learner's.

    :param fix: what to do about a folder that cannot be written to.
    :raises LabError: when it cannot be written to.
    """
    try:
        yield
    except OSError as error:
        raise LabError(
            f"Cannot write to {folder}: {error.strerror or error}.",
            where=str(error.filename) if error.filename else None,
            fix=fix,
        ) from None


def _made(variable: str, path: Path) -> Path:
    with writing(path, f"{variable}=… names a folder of your own"):
        path.mkdir(parents=True, exist_ok=True)
    return path


def cache_dir() -> Path:
    """Downloads and builds, keyed by version; `LLMLAB_CACHE` moves it."""
    return _made("LLMLAB_CACHE", _base("LLMLAB_CACHE", ".cache", "Caches"))


def shared_cache_dirs() -> list[Path]:
    """Further, read-only caches (a classroom's), from `LLMLAB_SHARED_CACHE`: one, or several as in PATH."""
    value = os.environ.get("LLMLAB_SHARED_CACHE", "")
    return [Path(folder).expanduser() for folder in value.split(os.pathsep) if folder]


def cached(relative: str) -> Path | None:
    """The first existing copy of `relative` in the user's cache, then in the shared ones."""
    for root in (cache_dir(), *shared_cache_dirs()):
        if (root / relative).exists():
            return root / relative
    return None


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place, flushed to the disk, then renamed. Folders are made.

    :raises OSError: when it cannot be written; what was there before is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}."[:60], suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's 0600 would hide it from a classroom's other accounts
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def state_dir() -> Path:
    """What is running and what was measured; `LLMLAB_STATE` moves it."""
    return _made("LLMLAB_STATE", _base("LLMLAB_STATE", ".local/state", "Application Support"))


def course_dir(start: Path | None = None) -> Path:
    """The folder that holds `labs/`: found upwards from `start` (default: here), else beside the package.

    :raises LabError: when there is no course in sight.
    """
    if os.environ.get("LLMLAB_COURSE"):
        return Path(os.environ["LLMLAB_COURSE"]).resolve()
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if any((folder / "labs").glob("*/lab.toml")):
            return folder
    raise LabError(
        "No labs found.",
        where=f"looked upwards from {here}",
        fix="cd into a clone of the course, or set LLMLAB_COURSE to it",
    )
