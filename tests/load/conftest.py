"""A real server for load's tests, and a scripted one for what a real server does not do on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from typing import Any, ClassVar

import pytest

from llmlab.load import Target
from llmlab.load.client import ask
from llmlab.load.endpoint import Endpoint
from llmlab.load.reply import Live
from llmlab.records.schema import Sample
from llmlab.serve import Server, Spec

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def target_of(server: Server) -> Target:
    return Target(
        url=server.url, info=server.info(), api_key=server.key, pid=server.pid, throttle=server.throttle
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The default engine with the tiny model, 8 slots of 1,024 tokens, one thread."""
    flags = {"parallel": 8, "ctx-size": 8192, "threads": 1, "metrics": True}
    with Server(Spec(model="tiny", flags=flags)) as running:
        yield running


@pytest.fixture(scope="session")
def target(server: Server) -> Target:
    return target_of(server)


class Wire:
    """Bytes of a reply, as llama-server writes them."""

    head = HEAD

    @staticmethod
    def event(payload: Any) -> bytes:
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        return f"data: {text}\n\n".encode()

    @staticmethod
    def chunk(data: bytes) -> bytes:
        """One piece of chunked transfer encoding."""
        return b"%x\r\n%s\r\n" % (len(data), data)

    end = b"0\r\n\r\n"

    @classmethod
    def text(cls, text: str, finish: str | None = None, **more: Any) -> bytes:
        return cls.event({"choices": [{"text": text, "index": 0, "finish_reason": finish}], **more})

    @classmethod
    def delta(cls, finish: str | None = None, **delta: Any) -> bytes:
        return cls.event({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    usage: ClassVar = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 2},
    }

    @classmethod
    def good(cls) -> list[bytes]:
        """The events of a reply of three tokens in two chunks."""
        return [
            cls.text("one"),
            cls.text(" two three"),
            cls.text(
                "", "length", usage=cls.usage, timings={"cache_n": 2, "prompt_ms": 1.5, "predicted_ms": 2.5}
            ),
            cls.event("[DONE]"),
        ]

    @classmethod
    def reply(cls, events: Sequence[bytes] | None = None) -> bytes:
        """A whole chunked reply, one piece an event."""
        return HEAD + b"".join(cls.chunk(e) for e in (cls.good() if events is None else events)) + cls.end


@pytest.fixture
def wire() -> type[Wire]:
    return Wire


Act = bytes | str  # bytes to send, or: "close" (FIN), "reset" (RST), "hang" (until the client goes away)


@pytest.fixture
def talk() -> Callable[..., Sample]:
    """`talk(acts)`: one request against a server that performs `acts`, and the sample that came of it."""

    def run(acts: Sequence[Act], *, timeout: float = 5.0, seen: list[bytes] | None = None) -> Sample:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.readuntil(b"\r\n\r\n")
            length = int(
                next(line for line in request.split(b"\r\n") if b"Content-Length" in line).split()[1]
            )
            request += await reader.readexactly(length)
            if seen is not None:
                seen.append(request)
            try:
                for act in acts:
                    if isinstance(act, bytes):
                        writer.write(act)
                        await writer.drain()
                        await asyncio.sleep(0)
                    elif act == "reset":
                        import socket
                        import struct

                        raw = writer.get_extra_info("socket")
                        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        writer.transport.abort()
                        return
                    elif act == "hang":
                        await reader.read()
            finally:
                writer.close()

        async def both() -> Sample:
            listening = await asyncio.start_server(serve, "127.0.0.1", 0)
            async with listening:
                port = listening.sockets[0].getsockname()[1]
                endpoint = Endpoint.parse(f"http://127.0.0.1:{port}/prefix", "key-1")
                payload = endpoint.request("/v1/completions", b'{"x": 1}')
                return await ask(
                    endpoint,
                    payload,
                    n=3,
                    scheduled=0.0,
                    zero=perf_counter(),
                    timeout=timeout,
                    live=Live(),
                )

        return asyncio.run(both())

    return run
