"""What the learner's cells told, left by the first container of a pod for the second, which believes none of it."""

from __future__ import annotations

import os
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ...checks.talk import Ended, Event

PATH = Path("/handover/told")
#: Bytes of the file: as large as its volume.
MOST_LEFT = 64 << 20
MOST_UNPACKED = 300 << 20
#: Bytes of what is told on, as the log holds it: most of one.
MOST_TOLD = 4 << 20
NEVER = Ended("end", -1, "")  # of a container that was killed before it could say


class _End(msgspec.Struct, forbid_unknown_fields=True):
    why: str
    code: int
    noise: str
    cpu: float


@dataclass(frozen=True, slots=True)
class Left:
    """What was found."""

    events: list[Event] = field(default_factory=list)
    ended: Ended = NEVER
    memory: bool = False  # the cells used theirs up, the last time
    cpu_seconds: float = 0.0


class _Writer:
    def __init__(self, file: Any) -> None:
        self._file = file
        self._deflate = zlib.compressobj(1)

    def event(self, event: Event) -> None:
        """One that the cells told."""
        self._line({"event": event})

    def end(self, ended: Ended, *, cpu_seconds: float) -> None:
        """How it ended."""
        end = _End(ended.why, ended.code, ended.noise, cpu_seconds)
        self._line({"end": msgspec.to_builtins(end)})
        self._file.write(self._deflate.flush())

    def _line(self, what: dict[str, Any]) -> None:
        self._file.write(self._deflate.compress(msgspec.json.encode(what) + b"\n"))
        self._file.write(self._deflate.flush(zlib.Z_SYNC_FLUSH))
        self._file.flush()


@contextmanager
def writing(path: Path = PATH) -> Iterator[_Writer]:
    """Leave what comes; once only: a container that was started again leaves nothing over what is there."""
    with path.open("xb") as file:
        path.chmod(0o644)
        yield _Writer(file)


def read(path: Path = PATH) -> Left:
    """What is there, as far as it can be read: the learner's cells could have written it."""
    events: list[Event] = []
    for raw in _lines(path):
        try:
            line = msgspec.json.decode(raw)
            if isinstance(line, dict) and isinstance(line.get("event"), dict) and "event" in line["event"]:
                events.append(line["event"])
            elif isinstance(line, dict) and "end" in line:
                end = msgspec.convert(line["end"], _End)
                return Left(events, Ended(end.why, end.code, end.noise[:8192]), cpu_seconds=end.cpu)
        except (msgspec.MsgspecError, RecursionError):
            continue
    return Left(events)


def _lines(path: Path) -> Iterator[bytes]:
    inflate, rest, total = zlib.decompressobj(), b"", 0
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or about.st_size > MOST_LEFT:
        os.close(handle)
        return
    with os.fdopen(handle, "rb") as file:
        while (data := file.read(1 << 16)) and total < MOST_UNPACKED:
            try:
                text = inflate.decompress(data, MOST_UNPACKED - total)
            except zlib.error:
                return
            total += len(text)
            *whole, rest = (rest + text).split(b"\n")
            yield from whole


def bounded(events: Sequence[Event], most: int = MOST_TOLD) -> list[Event]:
    """The same events, without the outputs of the largest cells where all together are too many for a pod's log: each says so."""
    sizes = {
        index: len(zlib.compress(msgspec.json.encode(event), 6))
        for index, event in enumerate(events)
        if event["event"] == "cell"
    }
    kept = list(events)
    while sum(sizes.values()) > most:
        largest = max(sizes, key=lambda index: sizes[index])
        size = sizes.pop(largest)
        text = f"… the outputs of this cell are {size / 1e6:.1f} MB packed and were left out: a pod's log holds {most / 1e6:.0f} MB\n"
        output = {"output_type": "stream", "name": "stdout", "text": text}
        kept[largest] = kept[largest] | {"outputs": [output]}
    return kept
