"""A reply in the reads it came in: HTTP taken off, events decoded, each with the arrival of the read that ended it."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from operator import ne

import httptools

from .sse import EventStream

EVENT_END = b"\n\n\r\n"  # of an event that ends its chunk


class _Heads(dict[int, bytes]):
    """How a chunk with an event of one line begins, by its length without EVENT_END."""

    def __missing__(self, length: int) -> bytes:
        for digits in range(1, 9):
            if len(b"%x" % (length - digits)) == digits:
                self[length] = b"%x\r\ndata: " % (length - digits)
                return self[length]
        return EVENT_END  # no chunk is so long; and in no part


HEADS = _Heads()


class Decoder:
    """Decodes one reply, at any time after it was read. `feed` reads cut anywhere, in their order.

    httptools parses everything except what a streaming server sends all the time: chunks of the transfer encoding that hold
    one event of one line each. Those are recognised whole (a size line must give exactly the length), many at once, and no parser
    is called for them; whatever differs from that in a byte goes to the parser.
    """

    __slots__ = (
        "_between", "_now", "_parser", "body", "chunked", "complete", "framed", "problem", "status", "stream", "streamed",
    )  # fmt: skip

    def __init__(self, *, keep: bool = False) -> None:
        self.stream = EventStream(keep=keep)
        self.status = 0  # of HTTP; 0: no reply yet
        self.streamed = False  # its content is server-sent events
        self.chunked = False  # in HTTP's chunked transfer encoding
        self.framed = False  # it says where it ends (chunked or a length)
        self.complete: float | None = None  # when its last byte arrived
        self.problem: str | None = None  # why it is no HTTP
        self.body = b""  # of a reply that is no stream, its first 64 KiB
        self._parser = httptools.HttpResponseParser(self)
        self._between = False  # no chunk is begun
        self._now = 0.0

    @property
    def flowing(self) -> bool:
        """Whether events in chunks come, and the bytes so far end between two of both."""
        return self._between and self.streamed and self.status == 200 and self.stream.between

    def feed(self, reads: list[bytes], arrivals: list[float]) -> None:
        """Take further reads; arrivals are seconds of any clock."""
        place = 0
        # The last read may hold the end of it all, which is the parser's to see.
        last = len(reads) if reads and reads[-1].endswith(EVENT_END) else len(reads) - 1
        if last > 0 and self.flowing and self._take(reads[:last], arrivals[:last]):
            place = last
        for data, now in zip(reads[place:], arrivals[place:], strict=True):
            self._parse(data, now)

    def _take(self, reads: list[bytes], arrivals: list[float]) -> bool:
        """Take reads of chunks that hold an event of one line each: False when they are anything else, and nothing was taken.

        A few calls for all of them: only whole lists are handed to C.
        """
        content = b"".join(reads)
        parts = content.split(EVENT_END)
        # Each part ends where an event and its chunk do, has one line end of its own, and begins as a chunk of its length does;
        # or is refused as JSON below.
        if parts.pop() or content.count(b"\n") != 4 * len(parts):
            return False
        payloads = [part.removeprefix(HEADS[len(part)]) for part in parts]
        if len(parts) != len(reads) or any(map(ne, map(len, parts), (len(data) - 4 for data in reads))):
            ends = list(accumulate(map(len, reads)))  # several events in a read, or one in several
            arrivals = [
                arrivals[bisect_left(ends, end)] for end in accumulate(len(part) + 4 for part in parts)
            ]
        done = payloads[-1] == b"[DONE]"
        if not self.stream.events_of(payloads[: -1 if done else None], arrivals[: len(payloads) - done]):
            return False
        if done:
            self.stream.event(payloads[-1], arrivals[-1])
        return True

    def _parse(self, data: bytes, now: float) -> None:
        if self.problem is not None or self.complete is not None:
            return
        self._now = now
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self.problem = f"not HTTP: {problem}"
        if not data.endswith(b"\n"):
            self._between = False  # the size of the next chunk is begun, of which the parser says nothing yet

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each header line."""
        key = name.lower()
        if key == b"content-type":
            self.streamed = value.lower().startswith(b"text/event-stream")
        elif key == b"transfer-encoding":
            self.chunked = self.framed = True
        elif key == b"content-length":
            self.framed = True

    def on_headers_complete(self) -> None:
        """Called by the parser when the status is known."""
        self.status = self._parser.get_status_code()
        self._between = self.chunked

    def on_chunk_header(self) -> None:
        """Called by the parser after the line with a chunk's size."""
        self._between = False

    def on_chunk_complete(self) -> None:
        """Called by the parser at a chunk's end."""
        self._between = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of the content."""
        if self.streamed and self.status == 200:
            self.stream.feed(body, self._now)
        elif len(self.body) < 65536:
            self.body += body

    def on_message_complete(self) -> None:
        """Called by the parser at the reply's own end."""
        self._between = False
        if self.complete is None:
            self.complete = self._now
