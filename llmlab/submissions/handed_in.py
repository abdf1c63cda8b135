"""Who handed in what: a class's folder, or an LMS's export, becomes one submission a learner.

Names are read here and nothing else: what is in a submission is for `llmlab.submissions.submission` to read.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..course.info import OTHER_NOTEBOOK, LabInfo
from ..errors import LabError
from .class_folder import (
    OTHER_ARCHIVES,
    class_folders,
    entries,
    holds_work,
    is_class,
    is_folder,
    is_piece,
    nbgrader,
)
from .exports import PACKED, Piece, display, named, numbered, piece_of, whole_class

RESERVED = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
)
LAYOUT = (
    "submissions/alice/lab.ipynb, submissions/bob.zip, or your LMS's download of all submissions, unpacked"
)

_AGAIN = re.compile(r"(?P<name>.+?) ?\((?P<n>\d{1,3})\)", re.DOTALL)  # a browser's second download


@dataclass(frozen=True, slots=True)
class Submission:
    """One learner's submission. `take(one.source, ...)` reads it."""

    learner: str  # as the export names them: "Zoë Müller, Jr."
    key: str  # the same, safe as a file's name and unique in the class, whatever the case
    path: Path  # the folder, zip or notebook; of several files the newest
    late_mark: bool = False  # the export itself calls it late
    parts: tuple[tuple[str, Path], ...] = ()  # several files: (the name it was handed in under, where it is)
    remarks: tuple[str, ...] = ()  # what was set aside

    @property
    def source(self) -> Path | Mapping[str, Path]:
        """What `llmlab.submissions.submission.take` reads."""
        return dict(self.parts) or self.path


def learners_in(folder: Path, info: LabInfo) -> list[Path]:
    """The folders whose entries are learners; none where `folder` is itself one learner's submission.

    :raises LabError: when there is no such folder, or it holds nothing but a class that is still zipped.
    """
    if not folder.exists():
        raise LabError("There is no such folder of submissions.", where=str(folder), fix=f"lay out {LAYOUT}")
    folder = folder.resolve()
    if not os.access(folder, os.R_OK):
        raise LabError("The submissions cannot be read.", where=str(folder), fix=f"chmod -R u+rX '{folder}'")
    alone = folder
    if folder.is_dir():
        pieces = [path for path in entries(folder) if is_piece(path)]
        alone = pieces[0] if len(pieces) == 1 else folder
    if _suffix(alone) == ".zip" and (learners := whole_class(alone)):
        raise LabError(
            f"{display(alone.name)} is a whole class, zipped: {', '.join(learners[:3])}, …",
            where=str(alone),
            fix=f"unzip '{alone}' -d submissions, and name that folder",
        )
    if not folder.is_dir() or _is_one(folder, info):
        return []
    return class_folders(folder, info)


def handed_in(folder: Path, info: LabInfo) -> list[Submission]:
    """The submissions in `folder`, sorted by learner.

    Each entry is one learner's, or what Moodle, Canvas, Gradescope, Brightspace, Blackboard, ILIAS and nbgrader make of it,
    also where the class lies in a folder of its own.
    A folder that is itself a submission, a zip or a notebook is one learner's, who is named after it.

    :raises LabError: when there is no such folder, or nobody's submission in it.
    """
    folders = learners_in(folder, info)
    if not folders:
        folder = folder.resolve()
        name = folder.name if folder.is_dir() else _learner_of(folder)[0]
        return [Submission(display(name), key_of(name), folder)]
    groups: dict[str, list[Piece]] = {}
    for where in folders:
        found_here = entries(where)
        known = named(where, [path.name for path in found_here if is_folder(path)])
        for path in found_here:
            piece = _piece(path, info, known, "" if len(folders) == 1 else where.name)
            if piece:
                groups.setdefault(piece.who, []).append(piece)
    if not groups:
        raise LabError(
            "Nobody handed in anything here: a folder, a zip or a notebook of each learner was looked for.",
            where=str(folders[0]),
            fix=f"lay out {LAYOUT}",
        )
    names = [group[0].learner.casefold() for group in groups.values()]
    found = []
    for group in groups.values():
        first = group[0]
        double = names.count(first.learner.casefold()) > 1 and first.id
        found.append(_joined(group, f"{first.learner} {first.id}" if double else first.learner, info))
    found.sort(
        key=lambda submission: (submission.learner.casefold(), submission.learner, str(submission.path))
    )
    taken: set[str] = set()
    return [_with_key(submission, taken) for submission in found]


def key_of(name: str) -> str:
    """A name that is safe as a file's on every system: letters and digits of any script, space, `.`, `_` and `-`."""
    name = unicodedata.normalize("NFC", name)
    key = "".join(
        character if unicodedata.category(character)[0] in "LNM" or character in " ._-" else "_"
        for character in name
    )
    key = re.sub(r"^[.\-]+", lambda match: "_" * len(match[0]), key.strip())[:80]
    while len(key.encode()) > 200:  # file systems count bytes: 255, with what is put behind it
        key = key[:-1]
    key = key.rstrip(" .") or "learner"  # Windows drops them
    return f"_{key}" if key.partition(".")[0].strip().casefold() in RESERVED else key


def _with_key(submission: Submission, taken: set[str]) -> Submission:
    base = key_of(submission.learner)
    key, n = base, 1
    while key.casefold() in taken:
        n += 1
        key = f"{base[: 80 - len(f'-{n}')].rstrip(' .')}-{n}"
    taken.add(key.casefold())
    return Submission(
        submission.learner, key, submission.path, submission.late_mark, submission.parts, submission.remarks
    )


def _piece(path: Path, info: LabInfo, known: Mapping[str, tuple[str, str]], group: str) -> Piece | None:
    """Whose an entry is, by its name; None for a stray file. `group`: its folder's name, where there are several."""
    name = unicodedata.normalize("NFC", path.name)
    folder = is_folder(path)
    if path.name in known:
        learner, number = known[path.name]
        return Piece(path, f"named {group}/{path.name}", learner, number)
    if piece := piece_of(path, folder=folder):
        return piece
    if not is_piece(path):
        return None
    learner, again = (name, 0) if folder and not _AGAIN.fullmatch(name) else _learner_of(path)
    if folder and (inner := nbgrader(path, info)):
        path = inner
    attempt = (_newest(path), again, name)
    return Piece(
        path, f"name {group}/{learner.casefold()}", display(learner), display(group) if group else "", attempt
    )


def _learner_of(path: Path) -> tuple[str, int]:
    """(learner, how often it was downloaded again) of `alice (1).zip`."""
    name = unicodedata.normalize("NFC", path.name)
    while _suffix(Path(name)) in PACKED + OTHER_ARCHIVES and not path.is_dir():
        name = name[: -len(_suffix(Path(name)))]
    match = _AGAIN.fullmatch(name)
    return (match["name"], int(match["n"])) if match else (name, 0)


def _joined(group: list[Piece], learner: str, info: LabInfo) -> Submission:
    """One submission of all that one learner handed in: the newest, and remarks on the rest."""
    full = [piece for piece in group if not piece.spare] or group
    newest = max(piece.attempt for piece in full)
    remarks = []
    older = [piece for piece in full if piece.attempt != newest]
    if older:
        names = ", ".join(display(piece.path.name) for piece in older)
        remarks.append(f"Handed in more than once: the newest was graded, not {names}.")
    parts: dict[str, Piece] = {}
    current = [piece for piece in full if piece.attempt == newest]
    current.sort(key=lambda piece: (numbered(piece.rest, info)[1], _natural(piece.path)))
    for piece in current:
        rest, _ = numbered(piece.rest, info)
        if rest in parts:
            older_one = display(parts[rest].path.name)
            remarks.append(
                f"{display(rest)} was handed in more than once: the newest was graded, not {older_one}."
            )
        parts[rest] = piece
    for path in (piece.path for piece in parts.values()):
        if _suffix(path) == ".zip" and (others := whole_class(path)):
            whose = f"a whole class ({', '.join(others[:3])}, …)"
            remarks.append(f"{display(path.name)} looks like {whose}: it was graded as one learner's.")
    late = any(piece.late for piece in parts.values())
    path = max((piece.path for piece in parts.values()), key=_newest)
    # a name an LMS gave to an artifact has to be undone, also where it is alone
    alone = len(parts) == 1 and ("" in parts or path.is_dir() or _suffix(path) in PACKED)
    named = () if alone else tuple((rest, piece.path) for rest, piece in parts.items())
    return Submission(learner, "", path, late, named, tuple(remarks))


def _is_one(folder: Path, info: LabInfo) -> bool:
    """Whether a folder is one learner's submission: an artifact or the notebook in it, and nobody's folder or zip."""
    found = entries(folder)
    if any(_suffix(path) == ".zip" for path in found):
        return False
    declared = {name.casefold() for name in info.artifacts}
    tops = {name.split("/")[0].casefold() for name in info.artifacts if "/" in name}
    folders = [path for path in found if is_folder(path)]
    own_folder = nbgrader(folder, info)
    # A folder of the lab's name may also be what the whole class was unpacked to.
    if own_folder is not None and not is_class(own_folder, info):
        return True
    notebooks = [path for path in found if _suffix(path) == ".ipynb"]
    own = (
        any(path.name.casefold() in declared | {OTHER_NOTEBOOK, info.notebook.name} for path in found)
        or any((folder / name).exists() for name in info.artifacts)
        or (
            len(notebooks) == 1 and piece_of(notebooks[0], folder=False) is None
        )  # several are as many learners
    )
    others = (path for path in folders if path.name.casefold() not in tops | {"records"})
    return own and not any(holds_work(path, info) for path in others)


def _newest(path: Path) -> float:
    """The time of a file, or of the newest thing directly in a folder; links are not followed."""
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode):
        return info.st_mtime
    return max((entry.lstat().st_mtime for entry in entries(path)), default=info.st_mtime)


def _natural(path: Path) -> list[tuple[int, str]]:
    """For sorting: `9` before `10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _suffix(path: Path) -> str:
    return path.suffix.lower()
