"""The client against servers that misbehave: whatever happens is in the sample, and nothing is raised."""

from __future__ import annotations

import asyncio
import socket
from time import perf_counter

import pytest

from llmlab.load.client import ask, sample_of
from llmlab.load.endpoint import Endpoint
from llmlab.load.reply import Live, Reply


class NoSocket(asyncio.Transport):
    """Takes what is written and notes when it is cut."""

    def __init__(self) -> None:
        super().__init__()
        self.cut = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def abort(self) -> None:
        self.cut = True


def fed(*pieces: bytes):
    """The sample of a reply that arrives in these pieces, without a socket in between to join them."""

    async def run():
        reply = Reply(b"", Live(), asyncio.get_running_loop().create_future())
        transport = NoSocket()
        reply.connection_made(transport)
        for piece in pieces:
            if not transport.cut:
                reply.data_received(piece)
        reply.connection_lost(None)
        return sample_of(
            reply, Endpoint.parse("http://127.0.0.1", None), n=0, scheduled=0.0, zero=perf_counter()
        )

    return asyncio.run(run())


def gist(sample):
    return (
        sample.ok,
        len(sample.chunks),
        sample.prompt_tokens,
        sample.completion_tokens,
        sample.cached_tokens,
        sample.finish,
    )


GOOD = (True, 2, 7, 3, 2, "length")


def test_a_good_reply(talk, wire) -> None:
    sample = talk([wire.reply()])
    assert gist(sample) == GOOD
    assert (sample.n, sample.status, sample.counted_by, sample.error) == (3, 200, "usage", None)
    assert (sample.prompt_ms, sample.predicted_ms) == (1.5, 2.5)
    assert 0 <= sample.sent <= sample.first <= sample.last <= sample.end


def test_the_request_closes_its_socket_and_carries_the_key(talk, wire) -> None:
    seen: list[bytes] = []
    talk([wire.reply()], seen=seen)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /prefix/v1/completions HTTP/1.1"
    assert b"Connection: close" in lines
    assert b"Authorization: Bearer key-1" in lines
    assert body == b'{"x": 1}'


def test_a_reply_cut_in_two_at_every_byte(wire) -> None:
    whole = wire.reply()
    for cut in range(1, len(whole)):
        assert gist(fed(whole[:cut], whole[cut:])) == GOOD, cut


def test_a_reply_byte_by_byte(wire) -> None:
    whole = wire.reply()
    assert gist(fed(*(whole[i : i + 1] for i in range(len(whole))))) == GOOD


def test_a_reply_in_one_piece(wire) -> None:
    assert gist(fed(wire.reply())) == GOOD


def test_every_truncation_is_an_error(wire) -> None:
    whole = wire.reply()
    for cut in range(len(whole)):
        sample = fed(whole[:cut]) if cut else fed()
        assert not sample.ok, cut
        assert "truncated" in sample.error, cut


def test_a_unicode_line_separator_is_no_line_end(wire) -> None:
    events = [wire.text("a\u2028b\u2029c\x0b\x0c\x85d"), *wire.good()[2:]]
    assert gist(fed(wire.reply(events))) == (True, 1, 7, 3, 2, "length")


def test_comments_and_other_fields_are_skipped(wire) -> None:
    events = [
        b":\n\n",
        b": ping - 2026\n\n",
        wire.text("x"),
        b"event: message\nid: 4\nretry: 9\n\n",
        *wire.good()[2:],
    ]
    assert gist(fed(wire.reply(events))) == (True, 1, 7, 3, 2, "length")


def test_carriage_returns_and_no_space_after_the_colon(wire) -> None:
    events = [e.replace(b"\n", b"\r\n").replace(b"data: ", b"data:") for e in wire.good()]
    assert gist(fed(wire.reply(events))) == GOOD


def test_one_event_over_several_data_lines(wire) -> None:
    split = b'data: {"choices":\ndata: [{"text": "x"}]}\n\n'
    assert gist(fed(wire.reply([split, *wire.good()[2:]]))) == (True, 1, 7, 3, 2, "length")


def test_only_content_is_a_first_token(wire) -> None:
    """A role, empty deltas and nulls come before; reasoning counts."""
    quiet = [
        wire.delta(role="assistant", content=None),
        wire.delta(role="assistant", content=""),
        wire.delta(),
        wire.text(""),
        wire.event({"choices": []}),
    ]
    loud = [wire.delta(reasoning_content="hm"), wire.delta(content="yes"), wire.delta("stop")]
    tail = [wire.event({"choices": [], "usage": wire.usage}), wire.event("[DONE]")]
    only_quiet = fed(wire.reply([*quiet, wire.delta("stop"), *tail]))
    assert only_quiet.ok
    assert only_quiet.first is None
    assert gist(fed(wire.reply([*quiet, *loud, *tail]))) == (True, 2, 7, 3, 2, "stop")


def test_content_that_looks_like_json_is_only_content(wire) -> None:
    text = '"text":"","finish_reason":"stop"} data: [DONE]\n\n{"error": "usage"'
    assert gist(fed(wire.reply([wire.text(text), *wire.good()[2:]]))) == (True, 1, 7, 3, 2, "length")


def test_usage_in_every_chunk_counts_once(wire) -> None:
    growing = [wire.text("x", usage={"prompt_tokens": 7, "completion_tokens": n}) for n in (1, 2)]
    assert gist(fed(wire.reply([*growing, *wire.good()[2:]]))) == GOOD


def test_without_usage_the_chunks_are_counted_and_it_says_so(wire) -> None:
    sample = fed(wire.reply([wire.text("a"), wire.text("b"), wire.text("", "stop"), wire.event("[DONE]")]))
    assert sample.ok
    assert (sample.completion_tokens, sample.counted_by, sample.prompt_tokens) == (2, "chunks", 0)


def test_an_error_in_the_middle_of_a_stream(talk, wire) -> None:
    broken = wire.event(
        {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}}
    )
    began = perf_counter()
    sample = talk([wire.head + wire.chunk(wire.text("a")), wire.chunk(broken), "hang"])
    assert not sample.ok
    assert sample.error == "server_error: Context size has been exceeded."
    assert sample.end is None
    assert len(sample.chunks) == 1
    assert perf_counter() - began < 2.0, "it is seen while the server hangs on, not by the time-out of 5 s"


def test_what_is_read_of_a_long_reply_is_not_kept_until_its_end(wire) -> None:
    """A look decodes it and lets it go, some hundred reads at a time."""

    async def run() -> list[int]:
        reply = Reply(b"", live := Live(), asyncio.get_running_loop().create_future())
        live.begin(reply)
        reply.connection_made(NoSocket())
        reply.data_received(wire.head + wire.chunk(wire.text("a")))
        for _ in range(1000):
            reply.data_received(wire.chunk(wire.text("a")))
        kept = [len(reply._reads)]
        while reply._reads:
            live._look()
            kept.append(len(reply._reads))
        assert (live.tokens, live.open) == (1001, 1)
        return kept

    assert asyncio.run(run()) == [1000, 744, 488, 232, 0]


def test_an_event_that_is_no_json(wire) -> None:
    sample = fed(wire.reply([wire.text("a"), b"data: {nonsense\n\n"]))
    assert "nonsense" in sample.error


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (
            b"503 Service Unavailable",
            b'{"error":{"message":"Loading model","type":"unavailable_error","code":503}}',
            "HTTP 503: unavailable_error: Loading model",
        ),
        (
            b"401 Unauthorized",
            b'{"error":{"message":"Invalid API Key","type":"authentication_error","code":401}}',
            "HTTP 401: authentication_error: Invalid API Key",
        ),
        (b"502 Bad Gateway", b"<html>nginx</html>", "HTTP 502: <html>nginx</html>"),
        (b"500 Oops", b"", "HTTP 500: an empty reply"),
        (b"403 Forbidden", b'{"error": "no"}', 'HTTP 403: {"error": "no"}'),
    ],
)
def test_an_http_error_is_in_its_own_words(status, body, says, talk) -> None:
    sample = talk([b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)])
    assert sample.error == says
    assert sample.status == int(status[:3])


def test_a_reply_that_is_no_stream(talk) -> None:
    body = b'{"choices": [{"text": "all at once"}]}'
    sample = talk(
        [
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        ]
    )
    assert sample.error.startswith("not a stream")


def test_a_stream_that_ends_with_its_connection(talk, wire) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n"
    assert gist(talk([head + b"".join(wire.good()), "close"])) == GOOD
    assert "truncated" in talk([head + b"".join(wire.good()[:2]), "close"]).error


def test_a_stream_that_ends_politely_but_too_early(wire) -> None:
    sample = fed(wire.reply([wire.text("a"), wire.text("b")]))
    assert sample.error == "truncated: the stream ended without a finish reason"


def test_what_is_no_http(talk) -> None:
    assert talk([b"220 smtp.example ready\r\n", "hang"]).error.startswith("not HTTP")


def test_a_reset(talk, wire) -> None:
    sample = talk([wire.head + wire.chunk(wire.text("a")), "reset"])
    assert not sample.ok
    assert "connection lost" in sample.error or "truncated" in sample.error


def test_a_server_that_hangs_up_without_a_word(talk) -> None:
    assert "truncated" in talk(["close"]).error


def test_a_timeout_ends_the_request_on_time(talk, wire) -> None:
    before = perf_counter()
    sample = talk([wire.head + wire.chunk(wire.text("a")), "hang"], timeout=0.3)
    assert sample.error == "timeout: no complete reply within 0.3 s"
    assert 0.3 <= perf_counter() - before < 2.0
    assert sample.end is None
    assert len(sample.chunks) == 1


def test_nobody_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: refused
        endpoint = Endpoint.parse(f"http://127.0.0.1:{held.getsockname()[1]}", None)
        made = ask(endpoint, b"", n=0, scheduled=0.0, zero=perf_counter(), timeout=2, live=(live := Live()))
        sample = asyncio.run(made)
    assert sample.error.startswith("cannot connect")
    assert sample.status == 0
    assert live.open == 0


def test_nobody_answers_the_connection() -> None:
    """A listener with a full backlog: the handshake itself never ends."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (one, two):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        endpoint = Endpoint.parse(f"http://127.0.0.1:{full.getsockname()[1]}", None)
        sample = asyncio.run(
            ask(endpoint, b"", n=0, scheduled=0.0, zero=perf_counter(), timeout=0.3, live=Live())
        )
    assert sample.error.startswith("timeout")


@pytest.mark.parametrize(
    ("url", "host", "port", "prefix", "tls"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, "", False),
        ("http://127.0.0.1:8080/", "127.0.0.1", 8080, "", False),
        ("https://llm.example/api/", "llm.example", 443, "/api", True),
        ("http://[::1]:9", "::1", 9, "", False),
        ("http://llm.example", "llm.example", 80, "", False),
    ],
)
def test_addresses(url: str, host: str, port: int, prefix: str, tls: bool) -> None:
    found = Endpoint.parse(url, None)
    assert (found.host, found.port, found.prefix, found.tls is not None) == (host, port, prefix, tls)
    assert b"Authorization" not in found.head


def test_an_error_is_seen_while_the_server_hangs_on(wire) -> None:
    """It comes in a read of its own, as all others do that are only kept."""

    async def run() -> str | None:
        reply = Reply(b"", live := Live(), asyncio.get_running_loop().create_future())
        live.begin(reply)
        reply.connection_made(NoSocket())
        reply.data_received(wire.head + wire.chunk(wire.text("a")))
        reply.data_received(wire.chunk(wire.event({"error": {"message": "no", "type": "server_error"}})))
        assert not reply.finished.done()
        await asyncio.wait_for(reply.finished, 5)
        return reply.verdict()

    assert asyncio.run(run()) == "server_error: no"


def test_a_reply_is_over_with_its_last_byte(wire) -> None:
    """Not before, and not only when the connection is gone, wherever its end is cut."""

    async def run(start: list[bytes], *end: bytes) -> None:
        reply = Reply(b"", Live(), asyncio.get_running_loop().create_future())
        reply.connection_made(NoSocket())
        for data in [wire.head, *start, *end[:-1]]:
            reply.data_received(data)
            assert not reply.finished.done()
        reply.data_received(end[-1])
        assert reply.finished.done()
        assert reply.decode()
        assert (reply.verdict(), reply.decoder.complete is not None) == (None, True)

    *start, last = [wire.chunk(event) for event in wire.good()]
    tail = last + wire.end
    asyncio.run(run(start, tail))
    for cut in range(1, len(tail)):
        asyncio.run(run(start, tail[:cut], tail[cut:]))
