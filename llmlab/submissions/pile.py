"""What is known of a submission while it is read: how much may still be read, what was refused, what to say."""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

from ..course.info import LabInfo
from .cells import Cell
from .entry import UNREADABLE, Entry, Refused, on_disk, open_folder, open_plain, read_whole
from .text import MIB, few, nfc, size_words

MAX_READ = 128 * MIB  # of one submission
MAX_ENTRIES = 20_000
MAX_DEPTH = 6  # folders
MAX_REMARKS = 40
# of MAX_READ, kept from notebooks and zips so that many of them cannot crowd out the artifacts
SPARE = 32 * MIB

_ASIDE = frozenset({"__MACOSX", "__pycache__", "node_modules"})


class Pile:
    """What is known of a submission while it is read: how much may still be read, what was refused, what to say."""

    def __init__(self, info: LabInfo, stack: ExitStack) -> None:
        self.stack = stack
        self.left = MAX_READ
        self.said: list[str] = []
        self.not_read: dict[str, str] = {}  # name -> why
        self.mentioned: set[str] = set()  # names of what was taken or is spoken of
        self.aside: list[str] = []  # notebooks that a tool keeps for itself, hidden or in a hidden folder
        self.books: dict[str, tuple[list[Cell], list[str]]] = {}  # notebooks that were read
        self._small: dict[str, bytes] = {}  # files that were read, and are looked at again with the zips
        self.wanted = info.artifacts
        self.kept = {part for name in info.artifacts for part in name.split("/")}

    def ignored(self, parts: Sequence[str]) -> bool:
        """Whether this is what a tool left behind: hidden, or a folder nobody writes by hand."""
        # `..` is not hidden: it is refused
        hidden = (part for part in parts if part.startswith(".") and part.strip("."))
        return any(part not in self.kept for part in hidden) or not _ASIDE.isdisjoint(parts)

    def leave(self, name: str) -> None:
        """Remember a notebook, or a folder of notebooks, that is ignored: to be named where there is no other."""
        if len(self.aside) < MAX_REMARKS and "ipynb" in name and "__MACOSX" not in name:
            self.aside.append(name)

    def read(self, entry: Entry, limit: int, *, sparing: bool = False) -> bytes:
        """The whole of a file of at most `limit` bytes; `sparing`: only while more than SPARE bytes are left.

        :raises Refused: with the reason, which is also kept for the remarks.
        """
        try:
            if entry.refused:
                raise Refused(entry.refused)
            if entry.name in self._small:
                return self._small[entry.name]
            if entry.size > limit:
                raise Refused(f"is larger than {size_words(limit)}")
            if entry.size > self.left - (SPARE if sparing else 0):
                raise Refused(f"comes after the {size_words(MAX_READ)} that are read of one submission")
            self.left -= entry.size
            try:
                with entry.open() as stream:
                    data = read_whole(stream, limit)
            except (Refused, MemoryError):
                raise
            except Exception:  # hostile bytes: whatever zipfile and zlib stumble over, the file is damaged
                raise Refused("is damaged: it cannot be read to its end") from None
        except Refused as problem:
            self.not_read[entry.name] = str(problem)
            raise
        if limit <= MIB:
            self._small[entry.name] = data
        return data

    def remember_refused(self, entries: Iterable[Entry]) -> None:
        """Keep the reasons of what was refused unread."""
        for entry in entries:
            if entry.refused:
                self.not_read[entry.name] = entry.refused

    def remarks(self) -> list[str]:
        """All that is to be said, what was not read grouped by its reason."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in self.not_read.items():
            by_reason.setdefault(reason, []).append(name)
        out = list(dict.fromkeys(self.said))
        for reason, names in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
            single = len(names) == 1
            out.append(
                f"{few(names)} {'was' if single else 'were'} not read: {'it' if single else 'each'} {reason}."
            )
        more = len(out) - MAX_REMARKS
        return out if more <= 0 else [*out[:MAX_REMARKS], f"{more} more remarks are left out."]


def beside(name: str, path: Path, pile: Pile) -> list[Entry]:
    """The entry of a path that stands for itself, or the entries of a folder."""
    try:
        info = path.lstat()
        if stat.S_ISDIR(info.st_mode):
            return list(folder_entries(path, pile, f"{name}/"))
    except OSError as problem:
        pile.not_read[name] = f"{UNREADABLE} ({problem.strerror})"
        return []
    return [on_disk(name, info, partial(open_plain, (str(path),)))]


def folder_entries(path: Path, pile: Pile, prefix: str = "") -> Iterator[Entry]:
    """The files below a folder, the shallowest first."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    root = os.open(path, flags)
    pile.stack.callback(os.close, root)
    queue: deque[tuple[str, ...]] = deque([()])
    seen = 0
    while queue:
        above = queue.popleft()
        try:
            here = open_folder(root, above)
        except OSError as problem:
            pile.not_read[prefix + nfc("/".join(above))] = f"{UNREADABLE} ({problem.strerror})"
            continue
        try:
            with os.scandir(here) as listing:
                found = sorted(islice(listing, MAX_ENTRIES - seen + 1), key=lambda entry: entry.name)
                stats = [(entry.name, entry.stat(follow_symlinks=False)) for entry in found]
        finally:
            os.close(here)
        for raw, info in stats:
            seen += 1
            if seen > MAX_ENTRIES:
                pile.said.append(f"More than {MAX_ENTRIES:,} files: the deepest ones were not looked at.")
                return
            parts = (*above, raw)
            if pile.ignored((raw,)):
                pile.leave(prefix + nfc("/".join(parts)))
                continue
            if not stat.S_ISDIR(info.st_mode):
                yield on_disk(prefix + nfc("/".join(parts)), info, partial(open_plain, parts, root))
            elif len(parts) <= MAX_DEPTH:
                queue.append(parts)
            else:
                pile.said.append(f"Folders more than {MAX_DEPTH} deep were not looked into.")
