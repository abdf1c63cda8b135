"""One streamed request over one socket: an asyncio protocol that stamps what arrives and never raises."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec

from ..records.schema import Sample
from ..system.certificates import trust
from .sse import EventStream, error_text


@dataclass(slots=True)
class Live:
    """Counts a progress report reads while requests run."""

    open: int = 0
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, resolved once before the run so that no request pays for a name."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    prefix: str  # path before /v1
    head: bytes  # header lines every request carries
    name: str | None = None  # said and verified over TLS; None: the host
    session: bytes | None = None  # the start of the header line that says which conversation it is
    keys: tuple[str, ...] = field(default=(), repr=False)
    signed: tuple[bytes, ...] = field(default=(b"",), repr=False)  # for each key its header line

    @classmethod
    def parse(
        cls,
        url: str,
        api_key: str | tuple[str, ...] | None,
        *,
        host: str | None = None,
        authority: bytes | None = None,
        session_header: str | None = None,
    ) -> Endpoint:
        """From `http://host:port/prefix` and the bearer key, if any, or several.

        :param host: that requests name; over TLS its name is said, and the certificate verified for it. None: that of the URL.
        :param authority: the certificate that is trusted (PEM); None: the system's.
        :param session_header: the name of a header that says which conversation a request belongs to; None: no such header.
        """
        parts = urlsplit(url)
        tls = trust(authority) if parts.scheme == "https" else None
        lines = [
            f"Host: {host or parts.netloc.rpartition('@')[2]}",
            "User-Agent: llmlab",
            "Accept: text/event-stream",
            "Content-Type: application/json",
            # llama-server closes after every streamed reply while it advertises keep-alive: a pooled socket
            # is a lost request. So one socket per request, and the server is told.
            "Connection: close",
        ]
        keys = keys_of(api_key)
        return cls(
            parts.hostname or "127.0.0.1",
            parts.port or (443 if tls else 80),
            tls,
            parts.path.rstrip("/"),
            ("\r\n".join(lines) + "\r\n").encode("latin-1"),
            name=host.partition(":")[0] if tls and host else None,
            session=f"{session_header}: ".encode("latin-1") if session_header else None,
            keys=keys,
            signed=tuple(f"Authorization: Bearer {key}\r\n".encode("latin-1") for key in keys) or (b"",),
        )

    def request(self, path: str, body: bytes, *, conversation: int = 0, among: str = "") -> bytes:
        """The bytes of one POST.

        :param conversation: its number: which of several keys is sent, and what the session header says.
        :param among: what tells these conversations from all others, in that header.
        """
        return b"POST %s HTTP/1.1\r\n%s%s%sContent-Length: %d\r\n\r\n%s" % (
            (self.prefix + path).encode("ascii"),
            self.head,
            self.signed[conversation % len(self.signed)],
            b"%s%s-%d\r\n" % (self.session, among.encode("ascii"), conversation) if self.session else b"",
            len(body),
            body,
        )

    def unsaid(self, error: str) -> str:
        """Words of an error without a key: a server may repeat what it was sent, and samples are kept."""
        for key in sorted(filter(None, self.keys), key=len, reverse=True):  # one may begin another
            error = error.replace(key, "(the key)")
        return error


def keys_of(api_key: str | tuple[str, ...] | None) -> tuple[str, ...]:
    """The keys, however many there are."""
    return (api_key,) if isinstance(api_key, str) and api_key else tuple(api_key or ())


@dataclass(slots=True)
class Reply(asyncio.Protocol):
    """The protocol of one request. `finished` resolves when the reply is complete or the socket is gone."""

    payload: bytes
    live: Live
    finished: asyncio.Future[None]
    sent: float | None = None
    end: float | None = None
    status: int = 0
    error: str | None = None
    stream: EventStream = field(default_factory=EventStream)
    _parser: httptools.HttpResponseParser | None = None
    _transport: asyncio.Transport | None = None
    _now: float = 0.0
    _streamed: bool = False
    _framed: bool = False  # the reply says where it ends (chunked or a length)
    _body: bytes = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send at once: the request is small, so its last byte is in the socket when `write` returns."""
        self._transport = transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        transport.write(self.payload)
        self.sent = perf_counter()

    def data_received(self, data: bytes) -> None:
        """Stamp first, read afterwards: everything in one read has the same arrival."""
        self._now = perf_counter()
        if self._parser is None or self.end is not None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as problem:
            self.fail(f"not HTTP: {problem}")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each header line."""
        key = name.lower()
        if key == b"content-type":
            self._streamed = value.lower().startswith(b"text/event-stream")
        elif key in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        """Called by the parser when the status is known."""
        assert self._parser is not None
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Called by the parser for each piece of the reply."""
        if self._streamed and self.status == 200:
            stream = self.stream
            before = len(stream.chunks)
            stream.feed(body, self._now)
            self.live.tokens += len(stream.chunks) - before
            if stream.error is not None:
                self.fail(stream.error)
        elif len(self._body) < 65536:
            self._body += body

    def on_message_complete(self) -> None:
        """Called by the parser at the reply's own end."""
        if self.error is None:
            self.end = self._now
        self.close()
        self._resolve()  # now, not when the socket is gone: its stream's next request is due

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone: by us, by the server, or by a fault (`exc`)."""
        if self.end is None and self.error is None:
            if exc is not None:
                self.error = f"connection lost: {type(exc).__name__}: {exc}"
            elif self.status and not self._framed and self.stream.done:
                self.end = perf_counter()  # a reply without a length ends with its connection
            else:
                self.error = "truncated: the connection closed before the reply was complete"
        self._resolve()

    def _resolve(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def fail(self, why: str) -> None:
        """Give up on this request and say why."""
        if self.error is None and self.end is None:
            self.error = why
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close our side; the reply is complete."""
        if self._transport is not None:
            self._transport.abort()

    def verdict(self) -> str | None:
        """What went wrong, or None."""
        if self.error is not None:
            return self.error
        if self.status != 200:
            return f"HTTP {self.status}: {error_text(self._body)}"
        if not self._streamed:
            return f"not a stream: {error_text(self._body)}"
        if self.stream.finish is None and not self.stream.done:
            return "truncated: the stream ended without a finish reason"
        return None


async def ask(
    endpoint: Endpoint,
    payload: bytes,
    *,
    n: int,
    scheduled: float,
    zero: float,
    timeout: float,
    live: Live,
    said: list[str] | None = None,
) -> Sample:
    """Send one request and wait for the end of its reply; whatever goes wrong is in the sample.

    `scheduled` and the sample's times are seconds from `zero` (a `perf_counter` reading); `timeout` covers
    connecting and the whole reply. The reply's content is added to `said`, in pieces, where that is given.
    """
    loop = asyncio.get_running_loop()
    reply = Reply(payload, live, loop.create_future(), stream=EventStream(keep=said is not None))
    began = perf_counter()
    alarm = loop.call_later(timeout, reply.fail, f"timeout: no complete reply within {timeout:g} s")
    live.open += 1
    try:
        async with asyncio.timeout(timeout):
            await loop.create_connection(
                lambda: reply, endpoint.host, endpoint.port, ssl=endpoint.tls, server_hostname=endpoint.name
            )
        await reply.finished
    except TimeoutError:
        reply.error = reply.error or f"timeout: not connected within {timeout:g} s"
    except OSError as problem:
        reply.error = reply.error or f"cannot connect: {problem.strerror or problem}"
    finally:
        alarm.cancel()
        live.open -= 1
        reply.close()
    if said is not None:
        said += reply.stream.text or []
    sample = sample_of(reply, n=n, scheduled=scheduled, sent=reply.sent or began, zero=zero)
    if sample.error is None:
        return sample
    return msgspec.structs.replace(sample, error=endpoint.unsaid(sample.error))


def sample_of(reply: Reply, *, n: int, scheduled: float, sent: float, zero: float) -> Sample:
    """The reply as the record keeps it: times from `zero`, to the microsecond."""
    stream = reply.stream
    chunks = [round(t - zero, 6) for t in stream.chunks]
    usage, timings, error = stream.usage, stream.timings, reply.verdict()
    cached = usage.prompt_tokens_details.cached_tokens if usage and usage.prompt_tokens_details else 0
    return Sample(
        n=n,
        scheduled=round(scheduled, 6),
        sent=round(sent - zero, 6),
        first=chunks[0] if chunks else None,
        last=chunks[-1] if chunks else None,
        end=round(reply.end - zero, 6) if reply.end is not None else None,
        chunks=chunks,
        prompt_tokens=usage.prompt_tokens if usage else 0,
        completion_tokens=usage.completion_tokens if usage else len(chunks),
        counted_by="usage" if usage else "chunks",
        cached_tokens=cached or (timings.cache_n if timings else 0),
        prompt_ms=timings.prompt_ms if timings else None,
        predicted_ms=timings.predicted_ms if timings else None,
        status=reply.status,
        finish=stream.finish,
        error=error,
    )
