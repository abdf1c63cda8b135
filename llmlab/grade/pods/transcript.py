"""What a pod tells, as lines of its log: one compressed stream, each line numbered and signed, so that what is lost or forged is seen.

A log is read again whenever somebody asks, also long after who started the Job was killed, and asks no right of a pod. But whatever
runs in a container may write to it, and kubelet keeps the end of a long one only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

HEAD = b"llmlab/1"
PIECE = 6000  # bytes a line: below 16 KiB in base64, from where on a runtime breaks lines
#: Bytes of a whole log: kubelet begins a new one at 10 MiB unless it is told otherwise, and shows the newest only.
MOST = 8 << 20
MOST_UNPACKED = 320 << 20  # bytes that all of it may unpack to
MOST_PART = 64 << 20  # and one part of it


class LogWriter:
    """Writes parts, each a JSON document, as they come to be known."""

    def __init__(self, out: BinaryIO, token: str) -> None:
        self.written = 0  # bytes of the log so far
        self._out = out
        self._token = token.encode()
        self._deflate = zlib.compressobj(6)
        self._number = 0

    def tell(self, part: dict[str, Any]) -> None:
        """Write one part; it can be read before the next one comes."""
        data = self._deflate.compress(msgspec.json.encode(part) + b"\n")
        self._lines(data + self._deflate.flush(zlib.Z_SYNC_FLUSH), b"+")

    def end(self) -> None:
        """That was all."""
        self._lines(self._deflate.flush(), b".")

    def _lines(self, data: bytes, kind: bytes) -> None:
        for start in range(0, len(data), PIECE):
            piece = base64.b64encode(data[start : start + PIECE])
            last = kind if start + PIECE >= len(data) else b"+"
            number = b"%d" % self._number
            sign = _sign(self._token, number, last, piece)
            line = b" ".join((HEAD, number, last, sign, piece)) + b"\n"
            self._out.write(line)
            self._number += 1
            self.written += len(line)
        self._out.flush()


class Log:
    """What came of a log: `for part in log.parts(...)`, and then `whole`."""

    def __init__(self, token: str) -> None:
        self.whole = False  # all that was written has come
        self.words: list[str] = []  # the newest lines that are none of ours
        self._token = token.encode()

    def parts(self, lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """The parts, as far as every line before has come; forged and repeated lines are passed over."""
        inflate = zlib.decompressobj()
        number, rest, total = 0, b"", 0
        for line in lines:
            read = self._read(line.rstrip(b"\r\n"))
            if read is None or read[0] != number:
                continue
            number += 1
            try:
                data = inflate.decompress(read[2], MOST_UNPACKED - total)
            except zlib.error:
                return
            total += len(data)
            *whole, rest = (rest + data).split(b"\n")
            for text in whole:
                yield msgspec.json.decode(text)
            if inflate.unconsumed_tail or len(rest) > MOST_PART:
                return
            if read[1] == b".":
                self.whole = True
                return

    def _read(self, line: bytes) -> tuple[int, bytes, bytes] | None:
        words = line.split(b" ")
        if len(words) == 5 and words[0] == HEAD and words[1].isdigit():
            _, number, kind, sign, piece = words
            if hmac.compare_digest(sign, _sign(self._token, number, kind, piece)):
                return int(number), kind, base64.b64decode(piece)
        if line:
            self.words = [*self.words, line.decode(errors="replace")[:300]][-5:]
        return None


def _sign(token: bytes, number: bytes, kind: bytes, piece: bytes) -> bytes:
    return hmac.new(token, b" ".join((number, kind, piece)), hashlib.sha256).hexdigest()[:32].encode()
