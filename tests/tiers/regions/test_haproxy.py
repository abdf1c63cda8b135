"""HAProxy by itself, where one would guess otherwise: who left and is served all the same, and which request is tried again."""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import time

import pytest

from llmlab.serve.ports import free_port
from llmlab.system.waiting import wait
from llmlab.tiers.regions import programs
from llmlab.tiers.regions.proxies import Proxy

pytestmark = pytest.mark.needs("regions")
CONFIG = """
global
    nbthread 1
defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s
    timeout queue 30s
    {defaults}
listen door
    bind 127.0.0.1:{port}
    monitor-uri /up
    {servers}
"""


class Backend(http.server.ThreadingHTTPServer):
    """Answers with `status`, once `gate` is open; `served` counts what it was asked."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.status, self.served, self.gate = status, 0, threading.Event()
        self.gate.set()
        self.thread = threading.Thread(target=self.serve_forever)
        self.thread.start()

    def end(self) -> None:
        self.gate.set()
        self.shutdown()
        self.thread.join()
        self.server_close()


class Answer(http.server.BaseHTTPRequestHandler):
    """Reads the body, waits for the gate, answers."""

    server: Backend

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.server.served += 1
        self.server.gate.wait(30)
        self.send_response(self.server.status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def backends():
    made: list[Backend] = []

    def make(status: int) -> Backend:
        made.append(Backend(status))
        return made[-1]

    yield make
    for backend in made:
        backend.end()


@pytest.fixture
def door(tmp_path):
    """Start a proxy; gives its port."""
    made = []

    def start(servers: str, defaults: str = "") -> int:
        port = free_port()
        path = tmp_path / f"{port}.cfg"
        path.write_text(CONFIG.format(port=port, servers=servers, defaults=defaults))
        line = programs.bring(lambda _: None).haproxy
        made.append(
            Proxy(line, path, opens=port, log=tmp_path / f"{port}.log", env={}, label="HAProxy of a test")
        )
        return port

    yield start
    for proxy in made:
        proxy.close()


def post(port: int, size: int) -> int:
    """The status for a body of so many bytes, sent in one piece with its head: what comes later is in no buffer yet."""
    head = f"POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(head.encode() + b"x" * size)
        return int(client.recv(100).split(b" ")[1])


def asked(port: int) -> socket.socket:
    """A request whose reply nobody has read yet."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
    return client


def served(port: int, backend: Backend) -> int:
    """One request is at work and four wait; three of those leave. How many the server is asked for in the end."""
    backend.gate.clear()
    clients = [asked(port)]
    wait("the first", lambda: backend.served == 1, 10)
    clients += [asked(port) for _ in range(4)]
    for client in clients[1:4]:
        client.close()
    with socket.create_connection(
        ("127.0.0.1", port)
    ) as other:  # its one thread has seen them go when it answers this
        other.sendall(b"GET /up HTTP/1.0\r\n\r\n")
        assert b" 200 " in other.recv(100)
    backend.gate.set()
    last = clients[4]
    assert b" 200 " in last.recv(100)
    for client in (clients[0], last):
        client.close()
    return backend.served


@pytest.mark.guess(
    guess="Who leaves while waiting in a proxy's queue is served by nobody.",
    really="Without `option abortonclose` a request that has left goes on to a server all the same, and whoever is behind it waits for a "
    "reply that nobody reads.",
    version="HAProxy 3.0.11",
    source="HAProxy's configuration manual on `option abortonclose`",
    see="a server with `maxconn 1`: one request at work, four in the queue, three of which leave; count what the server is asked",
)
def test_who_left_the_queue_is_served_unless_the_proxy_is_told_to_look(backends, door):
    usual, looking = backends(200), backends(200)
    line = "server one 127.0.0.1:{port} maxconn 1"
    assert served(door(line.format(port=usual.server_port)), usual) == 5
    assert served(door(line.format(port=looking.server_port), "option abortonclose"), looking) == 2


@pytest.mark.guess(
    guess="`retry-on 503` tries any request again elsewhere.",
    really="Only one that lies whole in the proxy's buffer of 16 kB (`tune.bufsize`) when it is sent on: a long prompt gets the 503, and now "
    "and then a short one whose body came a moment after its head (`option http-buffer-request` waits for it).",
    version="HAProxy 3.0.11",
    source="HAProxy's configuration manual on `retry-on` and `tune.bufsize`",
    see="two servers, one of which always says 503; bodies of 15,000 and of 17,000 bytes",
)
def test_a_long_body_is_not_tried_again(backends, door):
    full, free = backends(503), backends(200)
    servers = "\n    ".join(
        f"server s{server.server_port} 127.0.0.1:{server.server_port}" for server in (full, free)
    )
    port = door(
        servers,
        "balance first\n    option http-buffer-request\n    retries 2\n    option redispatch 1\n    retry-on 503",
    )
    assert post(port, 15_000) == 200
    assert full.served == 1, "it was tried there first"
    assert post(port, 17_000) == 503
    assert json.dumps([full.served, free.served]) == "[2, 1]"


@pytest.mark.guess(
    guess="A proxy passes each token of a stream on as it comes.",
    really="HAProxy holds each piece of a chunked reply for about 0.2 s, in case another one follows that could go out with it: each token of a "
    "slow stream, and the first of any, is seen so much later. A reply measured only at its end shows nothing of it. "
    "`option http-no-delay` ends that.",
    version="HAProxy 2.6.12 and 3.0.11",
    source="HAProxy's configuration manual on `option http-no-delay`",
    see="a server that writes the next token only once the client has seen the last: time five of them with and without the option",
)
def test_a_proxy_holds_each_token_of_a_stream_unless_it_is_told_not_to(door):
    line = "server one 127.0.0.1:{port}"
    took = {"usual": 0.0, "quick": 0.0}
    with contextlib.closing(Talker()) as usual, contextlib.closing(Talker()) as quick:
        ports = (
            door(line.format(port=usual.port)),
            door(line.format(port=quick.port), "option http-no-delay"),
        )
        for _ in range(2):  # in turn, so that a slow moment of the machine falls on both
            took["usual"] += usual.talk(ports[0])
            took["quick"] += quick.talk(ports[1])
    assert took["usual"] > 4 * took["quick"]


class Talker:
    """A server that streams: it writes the next token as soon as the client has the one before."""

    TOKENS = 5

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]

    def close(self) -> None:
        self.listener.close()

    def talk(self, proxy: int) -> float:
        """Seconds from the first token written to the last one seen, through the proxy at this port."""
        with socket.create_connection(("127.0.0.1", proxy), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            server, _ = self.listener.accept()
            with server:
                server.settimeout(30)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert server.recv(4096)
                server.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                seen, began = b"", time.monotonic()
                for number in range(self.TOKENS):
                    token = b"data: %d\n\n" % number
                    server.sendall(b"%x\r\n%s\r\n" % (len(token), token))
                    while token not in seen:
                        piece = client.recv(4096)
                        assert piece, "the proxy has hung up"
                        seen += piece
                return time.monotonic() - began
