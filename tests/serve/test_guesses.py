"""Where a good guess about llama-server is wrong; the page "What good guesses get wrong" is made of the marks."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading

import httpx
import pytest

from llmlab.serve import Server, Spec
from llmlab.system.waiting import wait

pytestmark = pytest.mark.needs("process")


def sent(server: Server, body: dict) -> socket.socket:
    """A completion that is asked for; whoever closes the connection has left."""
    data = json.dumps({"prompt": "x", "ignore_eos": True} | body).encode()
    head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(head.encode() + data)
    return client


def generated(server: Server) -> int:
    """Tokens that the server counts, once nothing is at work any more."""
    wait("idle slots", lambda: not any(slot["is_processing"] for slot in server.slots()), 120)
    return int(server.metrics()["tokens_predicted_total"])


@pytest.mark.guess(
    guess="Once a client has gone, nobody works for it any more.",
    really="A stream ends at once. A reply that is not streamed goes on to its last token while anything else is running, and its tokens "
    "are counted: the server looks whether the client is there only after a second without any result. A proxy that hangs up and asks "
    "again doubles the work.",
    version="llama-server b11549 and the build of this course",
    see="send a completion without `stream` beside a long stream, close the connection, compare `llamacpp:tokens_predicted_total`",
)
def test_a_reply_that_is_not_streamed_goes_on_without_its_client_while_another_runs():
    count = 600
    with Server(
        Spec(model="20m", flags={"ctx-size": 8192, "parallel": 2, "threads": 1, "metrics": True})
    ) as server:
        before = generated(server)
        beside = sent(server, {"n_predict": 3 * count, "stream": True})
        reader = threading.Thread(target=lambda: list(iter(lambda: beside.recv(65536), b"")))
        reader.start()
        left = sent(server, {"n_predict": count})
        wait("both at work", lambda: sum(slot["is_processing"] for slot in server.slots()) == 2, 30)
        left.close()
        reader.join()
        beside.close()
        assert generated(server) - before == 4 * count, "the reply that nobody reads was written to its end"
        before = generated(server)
        stream = sent(server, {"n_predict": 3 * count, "stream": True})
        assert stream.recv(1)
        stream.close()
        assert generated(server) - before < 3 * count, "a stream ends with its client"


@pytest.mark.guess(
    guess="A server that is still loading its model refuses whatever it is asked.",
    really="`OPTIONS`, on any path, is answered 200 all the while; and `OPTIONS /` is what HAProxy's `option httpchk` sends where no path "
    "is named, so a replica gets requests before it can answer. `GET /health` is the question.",
    version="llama-server b11549; HAProxy 3.0",
    source="HAProxy's configuration manual on `option httpchk`",
    see="curl -i -X OPTIONS localhost:8080/ while a large model loads",
)
def test_options_is_answered_while_the_model_loads():
    # It loads for a tenth of a second: on a busy machine one look may come too late.
    assert (503, 200, 503) in [while_it_loads() for _ in range(8)]


def while_it_loads() -> tuple[int, int, int] | None:
    """The first answers of a server that starts: to `/health`, `OPTIONS /` and `/health` again; None: there was none."""
    server = Server(Spec(model="200m", flags={"ctx-size": 512, "threads": 1}))
    port, answers = server.choose_port(), None
    thread = threading.Thread(target=server.start)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
        while answers is None and thread.is_alive():
            with contextlib.suppress(httpx.TransportError):
                first = http.get("/health").status_code
                answers = (first, http.options("/").status_code, http.get("/health").status_code)
    thread.join()
    server.stop()
    return answers


@pytest.mark.guess(
    guess="A new conversation gets a slot of its own while one is empty, and the others keep what they know.",
    really="It gets the slot whose prompt is most like its own, empty ones or not: with a system prompt in common that is another "
    "conversation's. What is thrown out is saved in memory (`--cache-ram`) only where the newcomer keeps less than half of it; so with "
    "a long system prompt the other conversation's turns are computed again. `--slot-prompt-similarity 0` gives the slot used longest "
    "ago and saves each time.",
    version="llama-server b11549 and the build of this course",
    source="llama-server's README on `--slot-prompt-similarity` and `--cache-ram`",
    see="ask for A, for B, and for A with one turn more, on `--parallel 8`; compare `timings.cache_n` and `id_slot`",
)
def test_a_new_conversation_takes_another_ones_slot_although_others_are_empty():
    long, short, own = 200, 40, 60  # tokens: of a system prompt, and of what one turn adds
    first, second, again = three_asked(system=long, turn=own)
    assert first["id_slot"] == second["id_slot"] == again["id_slot"]
    assert again["cached"] == long, "the first turn was forgotten"
    *_, again = three_asked(system=short, turn=own)
    assert again["cached"] == short + own, "less than half was in common: it was saved"
    first, second, again = three_asked(system=long, turn=own, flags={"slot-prompt-similarity": 0.0})
    assert first["id_slot"] != second["id_slot"]
    assert again["cached"] == long + own


def three_asked(*, system: int, turn: int, flags: dict | None = None) -> list[dict]:
    """The replies to a conversation, another one with the same system prompt, and the first one's next turn; lengths in tokens."""
    shared, *turns = (
        [300 + number for number in range(start, start + count)]
        for start, count in ((0, system), (300, turn), (400, turn), (500, turn))
    )
    flags = {"ctx-size": 16384, "parallel": 8, "threads": 1} | (flags or {})
    with Server(Spec(model="tiny", flags=flags)) as server:
        replies = []
        for prompt in (shared + turns[0], shared + turns[1], shared + turns[0] + turns[2]):
            body = {"prompt": prompt, "n_predict": 4, "ignore_eos": True, "cache_prompt": True}
            reply = httpx.post(f"{server.url}/completion", json=body, timeout=60, trust_env=False).json()
            replies.append(reply | {"cached": reply["timings"]["cache_n"]})
        return replies


@pytest.mark.guess(
    guess="`/health` is answered at once, however many requests there are.",
    really="It is while they come one after another, also with every slot busy. When more connections than slots + 4 arrive at the same "
    "moment, some of them, and a `/health` that comes after them, are read only once a stream has ended, seconds later. "
    "`--threads-http` as large as the burst cures it. A probe that gives up sooner takes a server that works for one that hangs.",
    version="llama-server b11549 and the build of this course",
    see="stop the process (SIGSTOP), open 12 streams on 2 slots, let it go on (SIGCONT), and time `curl localhost:8080/health`",
)
def test_health_waits_behind_a_burst_of_connections():
    # Who is quicker is chance: the thread that takes the connections, or those that it wakes.
    assert any(ended_before_health(at_once=True, tokens=400) for _ in range(6))
    assert ended_before_health(at_once=False) == 0, "they come one after another"
    assert ended_before_health(at_once=True, flags={"threads-http": 16}) == 0


def ended_before_health(*, at_once: bool, flags: dict | None = None, tokens: int = 1500) -> int:
    """How many of twelve streams on two slots have ended by the time at which `/health` is answered."""
    flags = {"ctx-size": 4096, "parallel": 2, "threads": 1} | (flags or {})
    with Server(Spec(model="20m", flags=flags)) as server, contextlib.ExitStack() as held:
        if at_once:  # a server that is stopped finds all of them waiting when it goes on
            os.kill(server.pid, signal.SIGSTOP)
        streams = []
        for _ in range(12):
            streams.append(held.enter_context(sent(server, {"n_predict": tokens, "stream": True})))
            if not at_once:
                health(server)
        if at_once:
            os.kill(server.pid, signal.SIGCONT)
        health(server)
        return sum(b'"stop":true' in arrived(stream) for stream in streams)


def health(server: Server) -> None:
    """Wait for the answer of `/health`."""
    httpx.get(f"{server.url}/health", timeout=120, trust_env=False).raise_for_status()


def arrived(stream: socket.socket) -> bytes:
    """What has come of a reply so far."""
    stream.setblocking(False)
    text = b""
    with contextlib.suppress(BlockingIOError):
        while piece := stream.recv(65536):
            text += piece
    return text
