"""What a class wrote on a hub, out of the learners' homes into the folder that `llmlab grade` takes.

Homes belong to learners, and who collects is root: no link of theirs is followed, and nothing but plain files is read.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..course.info import LabInfo
from ..errors import LabError
from ..submissions.entry import Entry, Refused
from ..submissions.pile import MAX_READ, Pile, folder_entries
from ..system.paths import writing


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected of one learner."""

    learner: str
    files: tuple[str, ...]  # relative to the lab's folder; none: they have not opened the lab
    remarks: tuple[str, ...] = ()  # what was not read, and why


def matching(pattern: str) -> dict[str, Path]:
    """The courses of all learners on one machine: learner → folder, sorted.

    :param pattern: `/home/jupyter-*/llmlab`: where a learner's copy of the course lies; what `*` stands for is their name.
    :raises LabError: for a pattern without exactly one `*`, or one that nothing matches.
    """
    path = Path(pattern)
    starred = [place for place, part in enumerate(path.parts) if "*" in part]
    if len(starred) != 1 or path.parts[starred[0]].count("*") != 1 or not path.is_absolute():
        raise LabError(
            f"{pattern!r} does not say where a learner's course lies.",
            fix="one * for the learner's name, e.g. --homes '/home/jupyter-*/llmlab'",
        )
    above = Path(*path.parts[: starred[0]])
    named = re.compile(re.escape(path.parts[starred[0]]).replace(r"\*", "(.+)"))
    below = path.parts[starred[0] + 1 :]
    found = {}
    try:
        for name in sorted(os.listdir(above)):
            # A home may be a link of the administrator's; what lies in it is the learner's.
            if (match := named.fullmatch(name)) and (above / name).is_dir():
                found[match[1]] = (above / name).joinpath(*below)
    except OSError as error:
        raise LabError(
            f"{above} cannot be read: {error.strerror}.", where=pattern, fix="sudo -E llmlab collect …"
        ) from None
    if not found:
        raise LabError(f"No home matches {pattern!r}.", where=str(above))
    return found


def collect(info: LabInfo, courses: Mapping[str, Path], out: Path) -> list[Collected]:
    """Copy each learner's work on a lab to `out/LEARNER`: artifacts, notebooks and records, with their times.

    What was collected of a learner before is replaced.

    :raises LabError: when the folder cannot be written to.
    """
    return [_of_one(info, learner, course, out) for learner, course in courses.items()]


def _of_one(info: LabInfo, learner: str, course: Path, out: Path) -> Collected:
    with ExitStack() as stack, writing(out):
        out.mkdir(parents=True, exist_ok=True)
        pile = Pile(info, stack)
        new = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=out, prefix=".collecting-")))
        names = []
        for name, entry in _work(info, course, pile):
            try:
                data = pile.read(entry, MAX_READ)
            except Refused:
                continue  # it is among the remarks
            target = new / "work" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            os.utime(target, (entry.time, entry.time))
            names.append(name)
        pile.mentioned.update(names)
        there = out / learner
        if names:
            if there.exists():
                shutil.rmtree(there)
            (new / "work").rename(there)
        return Collected(learner, tuple(names), tuple(pile.remarks()))


def _work(info: LabInfo, course: Path, pile: Pile) -> Iterator[tuple[str, Entry]]:
    """The lab's files in a learner's copy of the course, by their names in the lab's folder."""
    if course.is_symlink() or not course.is_dir():
        return
    for entry in folder_entries(course, pile):
        if entry.parts[:2] != ["labs", info.name]:
            pile.not_read.pop(entry.name, None)
            continue
        name = "/".join(entry.parts[2:])
        if name in info.artifacts or entry.suffix == ".ipynb" or entry.parts[2] == "records":
            yield name, entry
