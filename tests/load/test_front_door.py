"""Load through a front door: at an address, by the name of a host, with the lab's own authority, several keys and a header for the conversation."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
import psutil
import pytest

from llmlab.load import Target, closed, measure, sessions
from llmlab.load.endpoint import Endpoint
from llmlab.load.users import Users
from llmlab.records import stats, store
from llmlab.records.schema import ServerInfo
from llmlab.system.certificates import Authority
from llmlab.system.named_client import named_client
from llmlab.system.waiting import wait

from .conftest import Wire

HOST = "chat.example"
AUTHORITY = Authority("a lab")
INFO = ServerInfo(
    command=[], flags={}, engine="PATH", engine_version="", model="m", model_sha256="", model_parameters=None,
    model_bytes=0, slots=1, ctx_per_slot=1, threads=None,
)  # fmt: skip
ONE = {"requests": 4, "warmup": 0, "prompt_tokens": 4, "max_tokens": 3}
TALK = {"warmup": 0, "prompt_tokens": 4, "max_tokens": 3, "think": 0, "system_tokens": 0}
COUNTS = b"""llamacpp:prompt_tokens_total 7
llamacpp:tokens_predicted_total 3
llamacpp:requests_processing 0
llamacpp:requests_deferred 0
"""


@dataclass
class Asked:
    """One request, as the door saw it."""

    line: str
    headers: list[tuple[str, str]]
    body: dict[str, Any]
    sni: str | None  # the name in the handshake; None: there was none
    clients: list[str]  # the command lines of this process's children meanwhile

    def header(self, name: str) -> str | None:
        (value,) = [value for key, value in self.headers if key.lower() == name.lower()] or [None]
        return value


class Answer(BaseHTTPRequestHandler):
    server: Recorder

    def do_GET(self) -> None:
        status, body = self.server.answers.get(self.path, (404, b"no such route"))
        self.note({})
        self.reply(status, body)

    def do_POST(self) -> None:
        self.note(msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"]))))
        if self.server.refusal is None:
            self.wfile.write(Wire.reply())
            return
        self.reply(401, self.server.refusal)

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def note(self, body: dict[str, Any]) -> None:
        clients = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        sni = self.server.names.pop(self.request, None)
        self.server.asked.append(Asked(self.requestline, self.headers.items(), body, sni, clients))

    def log_message(self, *_: object) -> None:
        pass


class Recorder(ThreadingHTTPServer):
    """Answers like a door, and keeps what it was asked."""

    def __init__(self, *names: str) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[Asked] = []
        self.names: dict[Any, str | None] = {}
        self.answers: dict[str, tuple[int, bytes]] = {}  # to GETs
        self.refusal: bytes | None = None  # to POSTs: the body of a 401
        self.secure = bool(names)

    def get_request(self) -> tuple[Any, Any]:
        plain, client = super().get_request()
        if not self.secure:
            return plain, client
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), client

    def handle_error(self, *_: object) -> None:
        """A client that does not trust it hangs up."""

    @property
    def url(self) -> str:
        return f"{'https' if self.secure else 'http'}://127.0.0.1:{self.server_address[1]}"

    @property
    def posts(self) -> list[Asked]:
        return [asked for asked in self.asked if asked.line.startswith("POST")]


@pytest.fixture
def recorder(tmp_path) -> Iterator[Any]:
    """`recorder()`, or `recorder(*names)`: over TLS, with a certificate for these."""
    open_ = []

    def start(*names: str) -> Recorder:
        server = Recorder(*names)
        if names:
            held = AUTHORITY.issue(*names)
            file = tmp_path / "held.pem"
            file.write_bytes(held.certificate + held.private_key)
            server.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            server.context.load_cert_chain(file)
            server.context.sni_callback = lambda sock, name, _: server.names.__setitem__(sock, name)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        open_.append((server, thread))
        return server

    yield start
    for server, thread in open_:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def door(recorder) -> Recorder:
    """With a certificate for one host, and nothing for whoever asks for metrics."""
    return recorder(HOST)


def through(door: Recorder, **more: Any) -> Target:
    return Target(
        **({"url": door.url, "info": INFO, "host": HOST, "authority": AUTHORITY.certificate} | more)
    )


def errors(target: Target) -> set[str | None]:
    (run,) = measure(target, [closed(1, **ONE)]).runs
    return {sample.error for sample in run.samples}


def test_the_host_is_named_in_the_handshake_and_in_every_request(door) -> None:
    (run,) = measure(through(door, url=f"{door.url}/prefix"), [closed(2, **ONE)]).runs
    assert [sample.error for sample in run.samples] == [None] * 4
    assert {asked.header("Host") for asked in door.asked} == {HOST}
    assert {asked.sni for asked in door.asked} == {HOST}
    lines = {asked.line for asked in door.asked}
    assert lines == {
        "GET /prefix/v1/models HTTP/1.1", "GET /prefix/metrics HTTP/1.1", "POST /prefix/v1/completions HTTP/1.1",
    }  # fmt: skip


def test_a_host_with_a_port_is_named_without_it_in_the_handshake(door) -> None:
    assert errors(through(door, host=f"{HOST}:8443")) == {None}
    assert {(asked.header("Host"), asked.sni) for asked in door.asked} == {(f"{HOST}:8443", HOST)}


def test_a_host_is_named_without_tls_too(recorder) -> None:
    plain = recorder()
    assert errors(through(plain)) == {None}
    assert {asked.header("Host") for asked in plain.asked} == {HOST}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"authority": Authority("a lab").certificate}, "certificate verify failed"),
        ({"authority": None}, "certificate verify failed"),
        ({"host": "other.example"}, "certificate is not valid for 'other.example'"),
        ({"host": None}, "certificate is not valid for '127.0.0.1'"),
    ],
    ids=["another authority", "the system's", "another host", "no host"],
)
def test_a_certificate_that_is_not_trusted_is_an_error_of_each_request(door, more, why) -> None:
    (error,) = errors(through(door, **more))
    assert error.startswith("cannot connect: ")
    assert why in error
    assert door.asked == []


def test_requests_have_the_keys_in_turn(door) -> None:
    measure(through(door, api_key=("one", "two", "three")), [closed(1, **ONE)])
    keys = ["Bearer one", "Bearer two", "Bearer three", "Bearer one"]
    assert [asked.header("Authorization") for asked in door.posts] == keys
    gets = {asked.header("Authorization") for asked in door.asked if asked not in door.posts}
    assert gets == {"Bearer one"}


def test_a_session_keeps_its_key(door) -> None:
    measure(through(door, api_key=("one", "two")), [sessions(1, sessions=3, turns=2, **TALK)])
    assert [asked.header("Authorization") for asked in door.posts] == [
        "Bearer one", "Bearer one", "Bearer two", "Bearer two", "Bearer one", "Bearer one",
    ]  # fmt: skip


def said(door: Recorder) -> dict[str, int]:
    """What stood in the header, and in how many requests."""
    found: dict[str, int] = {}
    for asked in door.posts:
        value = asked.header("x-session")
        found[value] = found.get(value, 0) + 1
    return found


def test_a_session_says_which_it_is_in_all_its_turns_and_in_no_other_run(door) -> None:
    target = through(door, session_header="x-session")
    plan = sessions(2, sessions=3, turns=4, **TALK)
    measure(target, [plan])
    assert sorted(said(door).values()) == [4, 4, 4]
    by_value = {
        value: [asked.body["messages"][0] for asked in door.posts if asked.header("x-session") == value]
        for value in said(door)
    }
    for firsts in by_value.values():
        assert firsts == [firsts[0]] * 4, "turns of one session begin with the same words"
    measure(target, [plan, plan, sessions(2, sessions=3, turns=4, seed=7, **TALK)], repeats=2)
    assert sorted(said(door).values()) == [4] * 3 * 7, "runs, repeats and seeds of another measurement"
    assert None not in said(door)


def test_without_sessions_each_request_is_its_own(door) -> None:
    plan = closed(1, **{**ONE, "warmup": 2})
    measure(through(door, session_header="x-session"), [plan, plan])
    assert list(said(door).values()) == [1] * 12
    assert None not in said(door)


@pytest.mark.parametrize("status", [404, 401])
def test_a_door_that_lets_nobody_ask_for_metrics_is_measured_without_counters(door, status) -> None:
    for path in ("/metrics", "/v1/models", "/props", "/slots"):
        door.answers[path] = (status, b'{"error": "not here"}')
    (run,) = measure(through(door), [closed(2, **ONE)]).runs
    assert stats.failed(run) == []
    assert run.counters is None
    assert all(isinstance(asked.body["prompt"], str) for asked in door.posts), "words: no vocabulary is known"


def test_what_a_door_lets_out_is_heard_through_it(door) -> None:
    door.answers["/metrics"] = (200, COUNTS)
    door.answers["/v1/models"] = (200, b'{"data": [{"id": "m", "meta": {"n_vocab": 1000}}]}')
    (run,) = measure(through(door), [closed(2, **ONE)]).runs
    assert run.counters is not None
    assert all(isinstance(asked.body["prompt"], list) for asked in door.posts), "token ids"


def test_no_key_is_in_the_record_nor_on_a_command_line(door) -> None:
    keys = ("sk-one", "sk-one-and-more")
    door.refusal = b'{"error": {"message": "Incorrect API key: sk-one, sk-one-and-more", "type": "auth"}}'
    record = measure(through(door, api_key=keys), [closed(2, **ONE)])
    (run,) = record.runs
    assert {sample.error for sample in run.samples} == {
        "HTTP 401: auth: Incorrect API key: (the key), (the key)"
    }
    assert "sk-one" not in str(store.dumps(record))
    lines = [line for asked in door.posts for line in asked.clients if "llmlab.load.worker" in line]
    assert lines
    assert not any("sk-one" in line for line in lines)


def test_nothing_is_new_for_who_names_nothing(recorder) -> None:
    plain = recorder()
    assert errors(Target(url=f"http://name:word@{plain.url[7:]}/prefix", info=INFO, api_key="k")) == {None}
    host = plain.url.removeprefix("http://")
    gets = [asked for asked in plain.asked if asked.line.startswith("GET")]
    assert [asked.line.split()[1] for asked in gets] == [
        "/prefix/v1/models",
        "/prefix/metrics",
        "/prefix/metrics",
    ]
    for asked in gets:
        assert asked.headers == [
            ("Host", host), ("Accept-Encoding", "identity"), ("Connection", "close"), ("Authorization", "Bearer k"),
        ]  # fmt: skip
    assert len(plain.posts) == 4
    assert Endpoint.parse("http://llm.example:81/prefix", "k").request("/v1/completions", b"{}") == (
        b"POST /prefix/v1/completions HTTP/1.1\r\n"
        b"Host: llm.example:81\r\n"
        b"User-Agent: llmlab\r\n"
        b"Accept: text/event-stream\r\n"
        b"Content-Type: application/json\r\n"
        b"Connection: close\r\n"
        b"Authorization: Bearer k\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )


@contextmanager
def users(door: Recorder, count: int, **more: Any) -> Iterator[Users]:
    given = {"host": HOST, "authority": AUTHORITY.certificate, "session_header": "x-session"} | more
    with Users(door.url, count, tokens=3, **given) as them:
        yield them


def test_each_of_the_users_is_a_conversation_of_its_own_and_keeps_its_key(door) -> None:
    with users(door, 2, api_key=("one", "two")) as them:
        wait("replies to both", lambda: len(said(door)) == 2 and min(said(door).values()) >= 3, 30)
        them.set(0)
        assert them.failed == []
        them.stop()
    seen = {(asked.header("x-session"), asked.header("Authorization")) for asked in door.posts}
    assert sorted(key for _, key in seen) == ["Bearer one", "Bearer two"]
    assert {(asked.header("Host"), asked.sni) for asked in door.asked} == {(HOST, HOST)}
    with users(door, 1) as others:
        wait("a reply", lambda: len(others.samples) >= 1, 30)
        others.stop()
    assert len(said(door)) == 3


def test_a_client_may_say_another_name_in_the_handshake_than_in_its_requests(recorder) -> None:
    door = recorder(HOST, "other.example")
    with named_client(door.url, HOST, authority=AUTHORITY.certificate, sni="other.example") as client:
        assert client.get("/x").status_code == 404
    (asked,) = door.asked
    assert (asked.header("Host"), asked.sni) == (HOST, "other.example")
