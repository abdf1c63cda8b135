"""The files in a zip, whoever packed it: its list is bounded, bombs and names that lead out are refused."""

from __future__ import annotations

import io
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .entry import LINK, MAX_FILE, ODD, Entry, Refused, open_plain
from .pile import MAX_DEPTH, Pile
from .text import MIB, nfc, size_words

MAX_INNER = 64 * MIB  # a zip in a zip has to be held in memory
MAX_LIST = 8 * MIB  # a zip's table of contents, which zipfile reads at once
MAX_MEMBERS = 5_000
MAX_RATIO = 200

_DAMAGED = "is damaged, or no zip at all"
_LOCKED = "is protected by a password"


def zips_among(entries: Sequence[Entry]) -> list[Entry]:
    """The zips among the entries, the shallowest and newest first."""
    found = [entry for entry in entries if entry.suffix == ".zip" and not entry.refused]
    return sorted(found, key=lambda entry: (len(entry.parts), -entry.time, entry.name))[:10]


def unpack(entry: Entry, pile: Pile) -> list[Entry]:
    """The entries of a zip that lies in the submission; none, and a remark, when it cannot be read."""
    try:
        stream: BinaryIO = pile.stack.enter_context(entry.open())
        if not isinstance(stream, io.FileIO):
            stream = io.BytesIO(pile.read(entry, MAX_INNER, sparing=True))
        return list(zip_entries(stream, pile, entry.name + "/", entry.level + 1))
    except Refused as problem:
        pile.not_read[entry.name] = str(problem)
    except Exception:  # as in `Pile.read`
        pile.not_read[entry.name] = _DAMAGED
    return []


class _Guarded(io.BufferedReader):
    """A zip's bytes; zipfile asks for the whole table of contents at once, and a hostile one can be gigabytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As a file's."""
        if size is not None and size > MAX_LIST:
            raise Refused("holds far too many files")
        return super().read(MAX_LIST if size is None or size < 0 else size)


def names_in(path: Path) -> list[str]:
    """The names in a zip's list, as they were meant; none where it cannot be read."""
    try:
        with (
            open_plain((str(path),)) as stream,
            _Guarded(stream) as guarded,
            zipfile.ZipFile(guarded) as archive,
        ):
            return [_member_name(member) for member in archive.infolist()]
    except Exception:  # as in `Pile.read`
        return []


def zip_entries(stream: BinaryIO, pile: Pile, prefix: str, level: int = 0) -> Iterator[Entry]:
    """The files in a zip, the shallowest first.

    :raises Refused: when nothing of it can be read.
    """
    try:
        guarded = pile.stack.enter_context(_Guarded(stream))  # type: ignore[arg-type]
        archive = pile.stack.enter_context(zipfile.ZipFile(guarded))
    except Refused:
        raise
    except Exception:  # zipfile meets hostile bytes with a dozen kinds of error
        raise Refused(_DAMAGED) from None
    found = {}
    for member in archive.infolist():
        name = _member_name(member)
        if pile.ignored(name.split("/")):
            pile.leave(prefix + name)
        elif not name.endswith("/"):
            found[name] = member  # of two with one name the last, as every tool extracts it
    names = sorted(found, key=lambda name: (name.count("/"), name))
    if len(names) > MAX_MEMBERS:
        pile.said.append(f"More than {MAX_MEMBERS:,} files in a zip: the deepest ones were not looked at.")
    if names and all(found[name].flag_bits & 0x41 for name in names):
        raise Refused(_LOCKED)
    for name in names[:MAX_MEMBERS]:
        member = found[name]
        refused = _member_refused(name, member)
        if not refused and name.count("/") > MAX_DEPTH:
            pile.said.append(f"Folders more than {MAX_DEPTH} deep were not looked into.")
            continue
        time = _member_time(member)
        opened = partial(archive.open, member)
        yield Entry(prefix + name, member.file_size, time, opened, refused, level)  # type: ignore[arg-type]


def _member_name(member: zipfile.ZipInfo) -> str:
    """A member's name as it was meant, without `./`: some tools write UTF-8 and do not say so, or backslashes."""
    name = member.orig_filename
    if not member.flag_bits & 0x800:
        try:
            name = name.encode("cp437").decode("utf-8")
        except UnicodeError:
            pass
    name = name.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    return nfc(name)


def _member_refused(name: str, member: zipfile.ZipInfo) -> str:
    """Why a member is not to be read; empty when it is."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    size, packed = member.file_size, member.compress_size
    if re.match(r"/|[A-Za-z]:", name) or re.search(r"\0|(^|/)\.\.(/|$)", name):
        return "has a name that leads out of the submission"
    if kind == stat.S_IFLNK:
        return LINK
    if kind not in (0, stat.S_IFREG):
        return ODD
    if member.flag_bits & 0x41:
        return _LOCKED
    if size > MIB and size > MAX_RATIO * packed:
        return f"is a zip bomb ({size_words(size)} packed into {size_words(packed)})"
    if size > MAX_FILE:
        return f"has {size_words(size)}, more than the {size_words(MAX_FILE)} that are looked at"
    # zipfile unpacks the other kinds without a bound on what comes out at once
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in a way that is not read here (use an ordinary zip)"
    return ""


def _member_time(member: zipfile.ZipInfo) -> float:
    """When a member was last written: the extended timestamp if there is one, else the zip's local time."""
    extra = member.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        if kind == 0x5455 and length >= 5 and len(extra) >= 9 and extra[4] & 1:
            return float(struct.unpack("<i", extra[5:9])[0])
        extra = extra[4 + length :]
    try:
        return datetime(*member.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0
