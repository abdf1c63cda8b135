"""One file of a submission, and how it is opened without following a link or waiting for a pipe."""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from .text import MIB, size_words

MAX_FILE = 100 * MIB  # larger ones are named with their size
MAX_ZIP = 1024 * MIB  # on disk, where only its list and what counts are read

UNREADABLE = "cannot be opened"
LINK = "is a link"
#: An LMS's or a phone's `20261128231502_server.toml`, `2026-11-28_23-15-02-server.toml`
STAMP = re.compile(r"(20\d\d([-_.]?\d\d){2}(?:[-_. T]?\d\d(?:[-_.:]?\d\d){1,2})?)[-_. ]+(?=\D)")

ODD = "is a device, a pipe or a socket"


class Refused(Exception):
    """Why something is not read, as the end of a sentence that starts with its name: `is a link`."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a submission; `open` gives a stream that the caller closes."""

    name: str  # NFC, relative to the submission
    size: int  # as the disk or the zip says: not to be relied on
    time: float  # seconds since the epoch; 0: unknown
    open: Callable[[], BinaryIO]
    refused: str = ""
    level: int = 0  # how many zips it lies in, inside the submission

    @property
    def stamp(self) -> str:
        """The digits of the time that its name starts with, if it does."""
        found = STAMP.match(self.parts[-1])
        return re.sub(r"\D", "", found[1]) if found else ""

    @property
    def newest(self) -> tuple[float, float]:
        """For sorting, the newest first: by the stamp in its name, then by its time."""
        return -float(self.stamp[:14].ljust(14, "0")), -self.time

    @property
    def parts(self) -> list[str]:
        """Its folders and its name; what was unpacked of an old zip from Windows may hold backslashes."""
        return self.name.replace("\\", "/").split("/")

    @property
    def home(self) -> str:
        """The folder it lies in."""
        return "/".join(self.parts[:-1])

    @property
    def suffix(self) -> str:
        """`.ipynb`, in small letters."""
        return os.path.splitext(self.parts[-1])[1].lower()


def on_disk(name: str, info: os.stat_result, opened: Callable[[], BinaryIO]) -> Entry:
    """The entry of what lies on the disk, refused where it is no plain file or too large."""
    refused = ""
    limit = MAX_ZIP if name.lower().endswith(".zip") else MAX_FILE
    if stat.S_ISLNK(info.st_mode):
        refused = LINK
    elif not stat.S_ISREG(info.st_mode):
        refused = ODD
    elif info.st_size > limit:
        refused = f"has {size_words(info.st_size)}, more than the {size_words(limit)} that are looked at"
    return Entry(name, info.st_size, info.st_mtime, opened, refused)


def open_plain(parts: Sequence[str], root: int | None = None) -> io.FileIO:
    """Open a plain file below an open folder: no link is followed on the way, nothing is waited for.

    :raises Refused: when it is something else by now, or cannot be opened.
    """
    folders: list[int] = []
    try:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            folders.append(os.open(part, flags, dir_fd=folders[-1] if folders else root))
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(parts[-1], flags, dir_fd=folders[-1] if folders else root)
    except OSError as problem:
        link = problem.errno in (errno.ELOOP, errno.ENOTDIR)
        raise Refused(LINK if link else f"{UNREADABLE} ({problem.strerror})") from None
    finally:
        for folder in folders:
            os.close(folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Refused(ODD)
    return io.FileIO(file)


def open_folder(root: int, parts: Sequence[str]) -> int:
    """An open folder below an open folder; the caller closes it."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    here = os.dup(root) if not parts else os.open(parts[0], flags, dir_fd=root)
    for part in parts[1:]:
        above = here
        try:
            here = os.open(part, flags, dir_fd=above)
        finally:
            os.close(above)
    return here


def read_whole(stream: BinaryIO, limit: int) -> bytes:
    """All of a stream.

    :raises Refused: when it is longer than `limit` bytes, whatever was said of it before.
    """
    chunks, length = [], 0
    while chunk := stream.read(64 << 10):
        length += len(chunk)
        if length > limit:
            raise Refused(f"is larger than {size_words(limit)}")
        chunks.append(chunk)
    return b"".join(chunks)
