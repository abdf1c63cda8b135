"""Which folder is the class's: exports wrap it in one or several more, and what they are called says little.

Structure says it. One learner's folder has the lab's files in it, once. A class has the same file again and again,
each in a folder or a zip of its own, and none beside them.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import Counter
from itertools import islice
from pathlib import Path

from ..course.info import LabInfo
from .artifacts import plain_name
from .exports import PACKED, is_export

#: Not read, but somebody handed them in: they get a result that says so.
OTHER_ARCHIVES = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
MAX_NAMES = 20_000  # looked at in one folder
MAX_LEVELS = 5  # of wrapping
MAX_WITHIN = 60  # folders of one learner, when only their names are looked at

# What one learner calls several tries; and the labs of a course, or a whole course, in a learner's folder.
_OF_ONE = re.compile(
    r"(?:old|alt|new|neu|backup|cop(?:y|ies)|kopie|draft|final|attempt|version|versuch|try|v)[-_ ]*\d*"
    r"|\d\d-[a-z].*|lab[-_ ]?\d+.*|labs|solutions",
    re.IGNORECASE | re.DOTALL,
)


def class_folders(folder: Path, info: LabInfo) -> list[Path]:
    """The folders whose entries are learners: the folder itself, or what lies in it wrapped, however deep.

    Several where the class comes in groups, each in a folder of its own.
    """
    return _inside(folder, info, MAX_LEVELS) or [folder]


def _inside(folder: Path, info: LabInfo, levels: int) -> list[Path]:
    """The class's folders somewhere below one that is none itself; nothing where it holds the learners."""
    if submitted := _submitted(folder):
        return submitted
    pieces = [path for path in entries(folder) if is_piece(path)]
    if not levels or not pieces or not all(is_folder(path) for path in pieces):
        return []
    if any(nbgrader(path, info) for path in pieces):
        return []
    found = []
    for path in pieces:
        below = _submitted(path) or ([path] if is_class(path, info) else _inside(path, info, levels - 1))
        if not below:
            return []
        found += below
    return found


def _submitted(folder: Path) -> list[Path]:
    """nbgrader's folder of all submissions, where it is in this one."""
    submitted = folder / "submitted"
    return [submitted] if submitted.is_dir() and not submitted.is_symlink() else []


def is_class(folder: Path, info: LabInfo) -> bool:
    """Whether a folder's entries are several learners', by an LMS's names or because the same work lies in several."""
    found = entries(folder)
    if is_export([path.name for path in found]):
        return True
    if any(_OF_ONE.fullmatch(path.name) for path in found if is_folder(path)):
        return False
    own = {kind for path in found if not is_folder(path) and (kind := _work(path.name, info))} - {".zip"}
    # a file of the lab beside them is a learner's, with copies below, until there are many: then it is the instructor's
    return max(_repeated(found, info).values(), default=0) > (2 if own else 1)


def _repeated(found: list[Path], info: LabInfo) -> Counter[str]:
    """How many of a folder's entries have each kind of work in them."""
    kinds: Counter[str] = Counter()
    tops = {name.split("/")[0].casefold() for name in info.artifacts if "/" in name} | {"records"}
    for path in found:
        if is_folder(path) and path.name.casefold() not in tops:
            kinds.update(_works(path, info))
        elif path.suffix.lower() == ".zip" and not _work(path.name[: -len(".zip")], info):
            kinds[".zip"] += 1
    return kinds


def _works(folder: Path, info: LabInfo) -> set[str]:
    """The kinds of work in a folder or below it."""
    kinds: set[str] = set()
    waiting = [folder]
    for seen in range(MAX_WITHIN):
        if not waiting:
            break
        here = waiting.pop(0)
        for path in entries(here):
            if is_folder(path):
                if len(waiting) + seen < MAX_WITHIN and len(path.relative_to(folder).parts) <= 3:
                    waiting.append(path)
            elif not path.is_symlink() and (kind := _work(path.name, info)):
                kinds.add(kind)
    return kinds


def _work(name: str, info: LabInfo) -> str:
    """What kind of the lab's work a file's name says it is: an artifact's own name, `.ipynb` or `.zip`; else nothing."""
    name = unicodedata.normalize("NFC", name).casefold()
    declared = {path.split("/")[-1].casefold() for path in info.artifacts}
    if name in declared or plain_name(name) in declared:
        return plain_name(name) if plain_name(name) in declared else name
    suffix = os.path.splitext(name)[1]
    return suffix if suffix in PACKED else ""


def holds_work(folder: Path, info: LabInfo) -> bool:
    """Whether a folder looks like a learner's: a notebook, a zip or an artifact in it or a little below."""
    return bool(_works(folder, info))


def nbgrader(student: Path, info: LabInfo) -> Path | None:
    """The lab's own folder in `<student>/<assignment>/`, where a student has no files beside it."""
    # not the bare number: a class's folders may be numbered
    ours = {info.name, info.slug, *(f"lab{sign}{info.number}" for sign in ("", "-", "_", " "))}
    found = entries(student)
    if not all(is_folder(path) for path in found):
        return None
    return next((path for path in found if path.name.casefold() in ours), None)


def entries(folder: Path) -> list[Path]:
    """What may be somebody's submission in a folder: nothing hidden."""
    try:
        with os.scandir(folder) as listing:
            found = sorted(islice(listing, MAX_NAMES), key=lambda entry: entry.name)
    except OSError:  # a learner's folder: `take` says what is wrong with it
        return []
    return [Path(entry.path) for entry in found if not entry.name.startswith((".", "__MACOSX"))]


def is_folder(path: Path) -> bool:
    """Whether it is a folder and no link to one."""
    return stat.S_ISDIR(path.lstat().st_mode)


def is_piece(path: Path) -> bool:
    """Whether it is somebody's, and no stray file."""
    mode = path.lstat().st_mode
    archive = path.suffix.lower() in PACKED + OTHER_ARCHIVES
    return stat.S_ISDIR(mode) or stat.S_ISLNK(mode) or archive
