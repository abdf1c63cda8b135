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

from ..errors import LabError
from ..records import store
from .entry import Entry, Refused, open_plain
from .info import LabInfo
from .learners_notebook import Cell, answers_in, choose, template_of
from .pile import Pile, beside, folder_entries
from .words import MIB, clean, few, nfc, shown
from .zips import unpack, zip_entries, zips_among

MAX_ARTIFACT = 1 * MIB
MAX_RECORD = 8 * MIB
MAX_RECORDS = 50

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
        for _ in range(levels):
            if found:
                break
            inner = [one for entry in zips_among(entries) for one in unpack(entry, pile)]
            if not inner:
                break
            pile.remember_refused(entries)
            entries = inner
            found = _Found.search(entries, pile, template)
        records = _records(entries, pile, found.home)
        pile.remember_refused(entries)
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
            notebook=clean(found.notebook.name) if found.notebook else None,
            submitted=_utc(max(times, default=0)),
            sha256=digest.hexdigest(),
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

    def __bool__(self) -> bool:
        return self.notebook is not None or bool(self.artifacts)

    @classmethod
    def search(cls, entries: Sequence[Entry], pile: Pile, template: Mapping[str, Cell]) -> _Found:
        """Look for the notebook, then for the artifacts beside it."""
        notebook, learner = choose(entries, pile, template)
        cells = answers_in(template, learner, pile.said) if notebook else {}
        home = notebook.home if notebook else None
        taken, missing = {}, {}
        for name in pile.wanted:
            found = _artifact(entries, pile, name, home)
            if isinstance(found, str):
                missing[name] = found
            else:
                taken[name] = found
        return cls(notebook, cells, taken, missing, home)


def _artifact(entries: Sequence[Entry], pile: Pile, name: str, home: str | None) -> tuple[Entry, bytes] | str:
    """One artifact: beside the notebook, else in the shallowest folder that has it; or why there is none."""
    wanted = nfc(name).split("/")
    lower = [part.casefold() for part in wanted]
    found = []
    for entry in entries:
        parts = entry.parts
        if [part.casefold() for part in parts[-len(wanted) :]] == lower:
            base = parts[: -len(wanted)]
            exact = parts[-len(wanted) :] == wanted
            found.append(("/".join(base) != home, len(base), not exact, -entry.time, entry.name, entry))
    why = ""
    taken: tuple[Entry, bytes] | None = None
    others = []
    for *_, entry in sorted(found, key=lambda one: one[:-1])[:10]:
        try:
            data = pile.read(entry, MAX_ARTIFACT)
        except Refused as problem:
            why = why or str(problem)
            continue
        if taken is None:
            taken = entry, data
        elif data != taken[1]:
            others.append(entry)
    if taken is None:
        like = [
            entry for entry in entries if entry.parts[-1].casefold().startswith(lower[-1].partition(".")[0])
        ]
        if not why and like:
            return f"was not handed in under this name ({few([one.name for one in like])} was)"
        return why or "was not handed in"
    if taken[0].parts[-len(wanted) :] != wanted:
        pile.said.append(f"{shown(taken[0].name)} was taken as {name}.")
    if others:
        pile.said.append(
            f"There are several {name} that differ: {shown(taken[0].name)} was taken, not {few([one.name for one in others])}."
        )
    return taken


def _records(entries: Sequence[Entry], pile: Pile, home: str | None) -> dict[str, tuple[Entry, bytes]]:
    """The records of one folder, beside the notebook if they are there, by the names they get in the copy."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.suffix == ".json" and entry.parts[-2:-1] == ["records"]:
            found.setdefault("/".join(entry.parts[:-2]), []).append(entry)
    if not found:
        return {}
    base = home if home in found else min(found, key=lambda base: (base.count("/") + bool(base), base))
    newest = sorted(
        found[base], key=lambda entry: entry.name, reverse=True
    )  # their names start with the time
    if len(newest) > MAX_RECORDS:
        pile.said.append(f"There are {len(newest)} records: the newest {MAX_RECORDS} were taken.")
    taken: dict[str, tuple[Entry, bytes]] = {}
    for n, entry in enumerate(newest[:MAX_RECORDS]):
        try:
            data = pile.read(entry, MAX_RECORD)
            store.loads(data)
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
