"""A reply in the reads it came in: HTTP taken off, events decoded, each with the arrival of the read that ended it."""

from __future__ import annotations

from collections.abc import Iterable

import httptools

from .sse import EventStream


class Decoder:
    """Decodes one reply, at any time after it was read. `feed` reads cut anywhere, in their order.

    httptools parses everything except the one shape a streaming server sends all the time: a chunk of the transfer encoding
    that holds one event of one line. That is recognised whole (its size line must give exactly its length), so no parser is
    called for it; whatever differs from it in a byte goes to the parser.
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

    def feed(self, reads: Iterable[bytes], arrivals: Iterable[float]) -> None:
        """Take further reads; arrivals are seconds of any clock."""
        flowing = self.flowing
        event = self.stream.event
        for data, now in zip(reads, arrivals, strict=True):
            place = 0
            if flowing:
                length = len(data)
                while place < length:
                    size_end = data.find(b"\r\ndata: ", place, place + 16)
                    end = data.find(b"\n", size_end + 8)
                    if (
                        size_end < 0
                        or data[end : end + 4] != b"\n\n\r\n"
                        or data[place:size_end]
                        != b"%x" % (end - size_end)  # "data: ", the line and its two ends
                    ):
                        break
                    event(data[size_end + 8 : end], now)
                    place = end + 4
                else:
                    continue
            self._parse(data[place:] if place else data, now)
            flowing = self.flowing

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
