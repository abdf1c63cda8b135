"""One reply while it comes: an asyncio protocol that stamps and keeps what is read, and decodes it when there is time."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import cast

from .decoder import EVENT_END, Decoder
from .sse import error_text

LAST = b"0\r\n\r\n"  # the last chunk of a reply in chunks
LOOK = 1.0  # seconds between two looks at replies under way: reads of so long are kept of each (at 50,000 tokens/s 15 MB in all)
SLICE = 256  # reads decoded in one go, about 0.5 ms: by so much other arrivals may be stamped late


class Live:
    """The requests of one event loop that are under way, for progress reports; counts may be read from any thread.

    Once a second it has what came of them decoded, so that an error is seen and memory given back before a reply's end.
    """

    __slots__ = ("_alarm", "_decoded", "_open", "_replies", "_round")

    def __init__(self) -> None:
        self._open: set[Reply] = set()
        self._replies: set[Reply] = set()  # not yet decoded to their end
        self._round: list[Reply] = []
        self._decoded = 0
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def open(self) -> int:
        """Requests in flight."""
        return len(self._open)

    @property
    def tokens(self) -> int:
        """Pieces of content so far; a read that is not decoded yet counts as one."""
        return self._decoded + sum(reply.pieces for reply in list(self._replies))

    def begin(self, reply: Reply) -> None:
        """This one is asked for."""
        self._open.add(reply)
        self._replies.add(reply)
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(LOOK, self._look)

    def end(self, reply: Reply) -> None:
        """This one is over."""
        self._open.discard(reply)
        if not self._open and self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def settle(self, reply: Reply) -> None:
        """This one is decoded to its end."""
        if reply in self._replies:
            self._replies.remove(reply)
            self._decoded += reply.pieces

    def _look(self) -> None:
        """Some of this round, then a turn of the loop, in which arrivals are stamped; then the next."""
        self._round = self._round or list(self._open)
        left = SLICE
        while self._round and left > 0:
            left -= self._round[-1].look(SLICE)
            if not self._round[-1].behind:
                self._round.pop()
        self._alarm = asyncio.get_running_loop().call_later(0 if self._round else LOOK, self._look)


class Reply(asyncio.Protocol):
    """The protocol of one request. `finished` resolves when the reply is complete or the socket is gone.

    While it comes, a read costs a stamp and two references: the loop reads into one buffer and gives the bytes. They are
    decoded by `look`, when `Live` has it done, and by `decode` after the end, when the caller has time. Decoded at once are only
    reads that may decide what happens next: the first ones, and those that do not end between two chunks.
    """

    __slots__ = (
        "_arrivals", "_flowing", "_lost", "_payload", "_reads", "_transport",
        "decoder", "error", "finished", "live", "sent",
    )  # fmt: skip

    def __init__(
        self, payload: bytes, live: Live, finished: asyncio.Future[None], *, keep: bool = False
    ) -> None:
        self.live = live
        self.finished = finished
        self.sent: float | None = None  # when its last byte was handed to the socket; seconds of perf_counter
        self.error: str | None = None
        self.decoder = Decoder(keep=keep)
        self._payload = payload
        self._reads: list[bytes] = []  # not decoded yet
        self._arrivals: list[float] = []
        self._flowing = False
        self._lost: float | None = None  # when the connection was
        self._transport: asyncio.Transport | None = None

    @property
    def kept(self) -> int:
        """Reads that are not decoded yet."""
        return len(self._reads)

    @property
    def pieces(self) -> int:
        """Pieces of content so far, where each read not decoded yet counts as one."""
        return len(self.decoder.stream.chunks) + len(self._reads)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send at once: the request is small, so its last byte is in the socket when `write` returns."""
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.write(self._payload)
        self.sent = perf_counter()

    def data_received(self, data: bytes) -> None:
        """Stamp first: everything in one read has the same arrival."""
        self._arrivals.append(perf_counter())
        self._reads.append(data)
        if self._flowing:
            # Between two chunks, and this ends as a chunk with an event does: it ends between two chunks again. (Were these
            # bytes within one, a single stream would have both kinds of line ends, and then the next look puts it right.)
            if data[-4:] == EVENT_END:
                return
            if data == LAST or data.endswith(EVENT_END + LAST):
                self._finish()  # decoded later: its stream's next request is due now
                return
        self._look()

    @property
    def behind(self) -> bool:
        """Whether it is under way and has more to be decoded than a look takes."""
        return len(self._reads) > SLICE and not self.finished.done()

    def look(self, most: int) -> int:
        """Decode some of what has come: how many reads."""
        before = len(self._reads)
        if before and not self.finished.done():
            if self.decode(most):
                self._flowing = self.decoder.flowing
            self._judge()
        return before - len(self._reads)

    def _look(self) -> None:
        if not self.finished.done():
            self.decode()
            self._flowing = self.decoder.flowing
            self._judge()

    def _judge(self) -> None:
        decoder = self.decoder
        if decoder.complete is not None:
            self._finish()
        elif why := decoder.problem or decoder.stream.error:
            self.fail(why)

    def decode(self, most: int | None = None) -> bool:
        """Decode what was read, at most so many reads of it: whether nothing is left."""
        reads, arrivals = self._reads, self._arrivals
        if most is None or len(reads) <= most:
            self._reads, self._arrivals = [], []
            self.decoder.feed(reads, arrivals)
            return True
        self._reads, self._arrivals = reads[most:], arrivals[most:]
        self.decoder.feed(reads[:most], arrivals[:most])
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: by us, by the server, or by a fault (`exc`)."""
        if not self.finished.done():
            self._lost = perf_counter()
            if exc is not None and self.error is None:
                self.error = f"connection lost: {type(exc).__name__}: {exc}"
            self._finish()

    def _finish(self) -> None:
        self.close()
        if not self.finished.done():
            self.finished.set_result(None)

    def fail(self, why: str) -> None:
        """Give up on this request and say why."""
        if self.error is None and not self.finished.done():
            self.error = why
        self._finish()

    def close(self) -> None:
        """Close our side."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def end(self) -> float | None:
        """When the reply was complete; None: never. All of it must be decoded."""
        decoder = self.decoder
        if decoder.problem or decoder.stream.error or self.error:
            return None
        if decoder.complete is None and not decoder.framed and decoder.stream.done:
            return self._lost  # a reply without a length ends with its connection
        return decoder.complete

    def verdict(self) -> str | None:
        """What went wrong, or None. All of it must be decoded."""
        decoder, stream = self.decoder, self.decoder.stream
        if why := decoder.problem or stream.error or self.error:
            return why
        if self.end is None:
            return "truncated: the connection closed before the reply was complete"
        if decoder.status != 200:
            return f"HTTP {decoder.status}: {error_text(decoder.body)}"
        if not decoder.streamed:
            return f"not a stream: {error_text(decoder.body)}"
        if stream.finish is None and not stream.done:
            return "truncated: the stream ended without a finish reason"
        return None
