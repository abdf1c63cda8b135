"""What of a checkout is the course: the files of its image, and the fingerprint by which two courses are known to be the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import LabError

#: At the course's top; binder/Dockerfile.dockerignore says the same to `docker build`.
PARTS = ("LICENSE", "README.md", "binder", "data", "labs", "llmlab", "pyproject.toml", "solutions", "uv.lock")
#: What running leaves, wherever it lies.
LEFT = frozenset({"__pycache__", ".ipynb_checkpoints", ".llmlab"})


def checkout() -> Path:
    """The folder of the course that this package belongs to: a clone, or the image's own; not a learner's copy of it.

    :raises LabError: when the package is installed without its course.
    """
    folder = Path(__file__).resolve().parents[2]
    if not (folder / "labs").is_dir():
        raise LabError(
            "This llmlab is installed without its course, so there is nothing to make an image of.",
            where=str(folder),
            fix="git clone the course, and `uv sync` there",
        )
    return folder


def files(course: Path | None = None) -> list[Path]:
    """The files of the course, relative to its folder and sorted; nothing that a learner's or an author's work leaves beside them.

    :raises LabError: as `checkout`, where no folder is named.
    """
    course = course or checkout()
    found = [Path(part) for part in PARTS if (course / part).is_file()]
    for part in PARTS:
        found += [path.relative_to(course) for path in _below(course / part)]
    return sorted(path for path in found if not _learners(path))


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in LEFT]
        yield from (Path(place, name) for name in names)


def _learners(path: Path) -> bool:
    """Whether somebody's work in a lab leaves it there (.gitignore has the same lines)."""
    if path.parts[0] != "labs":
        return False
    return (
        path.name == "certificate.html" or path.parts[1:] == ("index.md",) or path.parts[2:3] == ("records",)
    )


def fingerprint(course: Path | None = None) -> str:
    """The course's fingerprint, `sha256:` and 64 digits: of every file its name, whether it can be run, and its content.

    The same in a checkout and in an image made of it, whoever made it and with what; different after any edit.

    :raises LabError: as `checkout`, where no folder is named.
    """
    course = course or checkout()
    whole = hashlib.sha256()
    for path in files(course):
        content = (course / path).read_bytes()
        runs = bool((course / path).stat().st_mode & 0o100)
        whole.update(f"{path.as_posix()}\0{int(runs)}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    return f"sha256:{whole.hexdigest()}"
