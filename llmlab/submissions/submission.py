"""One submission, read without trusting it: a private copy of the artifacts, answer cells and records that count.

All else stays unread, and what was refused is said in plain sentences; nothing is executed, extracted or followed.
"""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..course import journal
from ..course.info import LabInfo
from ..errors import LabError
from ..records import store
from .answer_cells import answers_in
from .artifacts import artifact
from .cells import Cell
from .entry import Entry, Refused, open_plain
from .learners_notebook import choose, template_of
from .pile import Pile, beside, folder_entries
from .text import MIB, few, nfc, showable, shown
from .zips import unpack, zip_entries, zips_among

MAX_RECORD = 8 * MIB
MAX_RECORDS = 50
MAX_JOURNAL = MIB
MAX_NOTED = 300  # entries of it, the newest

_HAND_IN = "hand in the lab's folder, a zip of it, or its notebook"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken of a submission, and what was not."""

    folder: Path  # the private copy: artifacts under their declared names, records/*.json, nothing else
    artifacts: tuple[str, ...]
    missing: dict[str, str]  # declared artifact -> why it was not taken
    cells: dict[str, str]  # answer cell -> the learner's source, where it is not the template's own
    remarks: tuple[str, ...]  # plain sentences: what was ignored, refused, mended
    notebook: str | None  # which one was read
    submitted: datetime | None  # newest time of what was taken, UTC
    sha256: str  # of what was taken: whatever the packaging, whatever the times
    journal: tuple[journal.Noted, ...] = ()  # what the learner guessed, did and saw: for people, never graded


def take(path: Path | Mapping[str, Path], info: LabInfo, into: Path) -> Taken:
    """Read one submission and write what counts to `into`, a new or empty folder, as files of mode 0644.

    `path` is a folder, a zip or a notebook; or several files and folders of one learner, each under the name it
    had when it was handed in (an LMS renames them). Links to any of these are refused, so is what links lead to.

    :raises LabError: when there is nothing that can be read: no such file, neither folder nor zip nor notebook, a
        broken or locked zip, an empty one; or when `into` holds something.
    """
    template = template_of(info)
    with ExitStack() as stack:
        pile = Pile(info, stack)
        entries, levels = _top(path, pile)
        found = _Found.search(entries, pile, template)
        packed = zips_among(entries)
        for _ in range(levels):
            if found.whole:
                break
            inner = [member for entry in packed for member in unpack(entry, pile)]
            pile.mentioned.update(entry.name for entry in packed)
            if not inner:
                break
            packed = zips_among(inner)
            entries = [*entries, *inner]
            found = _Found.search(entries, pile, template)
        pile.said += found.said
        records = _records(entries, pile, found.home)
        noted = _journal(entries, pile, found.home)
        pile.remember_refused(entries)
        _say_rest(entries, pile, found)
        digest = hashlib.sha256()
        parts = [("artifact", name, data) for name, (_, data) in found.artifacts.items()]
        parts += [("cell", name, source.encode()) for name, source in found.cells.items()]
        parts += [("record", name, data) for name, (_, data) in records.items()]
        for kind, name, data in parts:
            digest.update(f"{kind} {name} {len(data)}\n".encode())
            digest.update(data)
        taken = [*found.artifacts.values(), *records.values()]
        times = [entry.time for entry, _ in taken]
        times += [found.notebook.time] if found.notebook else []
        _write(
            into, {name: data for name, (_, data) in [*found.artifacts.items(), *records.items()]}, info.name
        )
        return Taken(
            folder=into,
            artifacts=tuple(found.artifacts),
            missing=found.missing,
            cells=found.cells,
            remarks=tuple(pile.remarks()),
            notebook=showable(found.notebook.name) if found.notebook else None,
            submitted=_utc(max(times, default=0)),
            sha256=digest.hexdigest(),
            journal=tuple(noted),
        )


def _write(into: Path, files: Mapping[str, bytes], lab: str) -> None:
    """Write files below `into`, each anew."""
    into.mkdir(parents=True, exist_ok=True)
    if any(into.iterdir()):
        raise LabError(
            f"The copy of a submission to lab {lab} needs an empty folder.",
            where=str(into),
            fix=f"empty {into}, or name another folder",
        )
    for name, data in files.items():
        path = into / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            file.write(data)
        path.chmod(0o644)


def _top(path: Path | Mapping[str, Path], pile: Pile) -> tuple[list[Entry], int]:
    """What was handed in, and how many levels of zips may be opened in it."""
    if isinstance(path, Mapping):
        return [entry for name, file in path.items() for entry in beside(nfc(name), file, pile)], 2
    where = str(path)
    name = shown(nfc(path.name))
    try:
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            entries = list(folder_entries(path, pile))
            if not entries and not pile.said:
                raise LabError(f"{name} is empty.", where=where, fix=_HAND_IN)
            return entries, 2
        entry = beside(nfc(path.name), path, pile)[0]
        if entry.suffix == ".zip" or _magic(path):
            if entry.refused:
                raise Refused(entry.refused)
            entries = list(zip_entries(pile.stack.enter_context(entry.open()), pile, ""))
            if not entries and not pile.said:
                raise LabError(f"{name} holds no files.", where=where, fix=_HAND_IN)
            return entries, 1
    except OSError as problem:
        raise LabError(
            f"{name} cannot be read: {problem.strerror or problem}.", where=where, fix=_HAND_IN
        ) from None
    except Refused as problem:
        raise LabError(f"{name} {problem}.", where=where, fix=_HAND_IN) from None
    if entry.suffix != ".ipynb" and entry.name not in pile.kept:
        reason = entry.refused or "is no folder, zip or notebook"
        raise LabError(f"{name} {reason}.", where=where, fix=_HAND_IN)
    return [entry], 0


def _magic(path: Path) -> bool:
    """Whether a plain file starts as a zip does."""
    try:
        with open_plain((str(path),)) as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except Refused:
        return False


@dataclass(slots=True)
class _Found:
    """What a list of entries holds of a lab."""

    notebook: Entry | None
    cells: dict[str, str]
    artifacts: dict[str, tuple[Entry, bytes]]
    missing: dict[str, str]
    home: str | None
    said: list[str]
    whole: bool  # nothing is missing that a zip could bring

    @classmethod
    def search(cls, entries: Sequence[Entry], pile: Pile, template: Mapping[str, Cell]) -> _Found:
        """Look for the notebook, then for the artifacts beside it."""
        said: list[str] = []
        notebook, learner = choose(entries, pile, template, said)
        cells = answers_in(template, learner, said) if notebook else {}
        home = notebook.home if notebook else None
        taken, missing = {}, {}
        for name in pile.wanted:
            found = artifact(entries, pile, name, home, said)
            if isinstance(found, str):
                missing[name] = found
            else:
                taken[name] = found
        asks = any(cell.answer for cell in template.values())
        whole = notebook is not None and not missing and (bool(cells) or not asks)
        return cls(notebook, cells, taken, missing, home, said, whole)


def _say_rest(entries: Sequence[Entry], pile: Pile, found: _Found) -> None:
    """Name what was taken out of a zip, and every file that nothing was said of: nothing is lost in silence."""
    used = [entry for entry, _ in found.artifacts.values()] + ([found.notebook] if found.notebook else [])
    if any(not entry.level for entry in used) and (inner := [entry.name for entry in used if entry.level]):
        pile.said.append(f"{few(inner)} {'was' if len(inner) == 1 else 'were'} taken out of a zip.")
    rest = [entry for entry in entries if entry.name not in pile.mentioned.union(pile.not_read)]
    closed = [entry.name for entry in rest if entry.suffix == ".zip"]
    other = [entry.name for entry in rest if entry.suffix != ".zip"]
    if closed:
        single = len(closed) == 1
        pile.said.append(
            f"{few(closed)} {'was' if single else 'were'} not opened: what counts lies outside {'it' if single else 'them'}."
        )
    if other:
        single = len(other) == 1
        pile.said.append(
            f"{few(other)} {'is' if single else 'are'} none of this lab's files: {'it was' if single else 'they were'} ignored."
        )
    if found.notebook is None and pile.aside:
        pile.said.append(f"What a tool keeps for itself does not count as a notebook: {few(pile.aside)}.")


def _records(entries: Sequence[Entry], pile: Pile, home: str | None) -> dict[str, tuple[Entry, bytes]]:
    """The records of one folder, beside the notebook if they are there, by the names they get in the copy."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.suffix == ".json" and entry.parts[-2:-1] == ["records"]:
            found.setdefault("/".join(entry.parts[:-2]), []).append(entry)
    if not found:
        return {}
    base = home if home in found else min(found, key=lambda base: (base.count("/") + bool(base), base))
    pile.mentioned.update(entry.name for entry in found[base])
    newest = sorted(
        found[base], key=lambda entry: entry.name, reverse=True
    )  # their names start with the time
    if len(newest) > MAX_RECORDS:
        pile.said.append(f"There are {len(newest)} records: the newest {MAX_RECORDS} were taken.")
    taken: dict[str, tuple[Entry, bytes]] = {}
    for n, entry in enumerate(newest[:MAX_RECORDS]):
        try:
            data = pile.read(entry, MAX_RECORD)
            store.loads_any(data)
        except Refused:
            continue
        except (LabError, RecursionError, ValueError) as problem:
            what = (
                problem.what.rstrip(".") if isinstance(problem, LabError) else "it is no JSON that we write"
            )
            pile.not_read[entry.name] = f"is not a record ({what})"
            continue
        name = entry.parts[-1]
        plain = re.fullmatch(r"\w[\w.-]{0,99}\.json", name) and not any(
            f"records/{name}".casefold() == other.casefold() for other in taken
        )
        taken[f"records/{name}" if plain else f"records/record-{n + 1:02}.json"] = entry, data
    return taken


def _utc(time: float) -> datetime | None:
    """Seconds since the epoch as a time; None when they are not to be believed."""
    try:
        return datetime.fromtimestamp(time, UTC) if time > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _journal(entries: Sequence[Entry], pile: Pile, home: str | None) -> list[journal.Noted]:
    """The newest entries of the journal beside the records, if it was handed in; the notebook's own before another."""
    found = [entry for entry in entries if entry.parts[-2:] == ["records", journal.NAME]]
    pile.mentioned.update(entry.name for entry in found)
    for entry in sorted(found, key=lambda entry: "/".join(entry.parts[:-2]) != (home or "")):
        try:
            return journal.loads(pile.read(entry, MAX_JOURNAL, sparing=True))[-MAX_NOTED:]
        except Refused:  # said among the remarks
            continue
    return []
