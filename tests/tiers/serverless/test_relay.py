"""The relay before llama-server: $PORT, one connection a request, each piece at once, and an end that waits for replies."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from llmlab.serve.ports import free_port
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.programs import binaries

pytestmark = pytest.mark.skipif(
    binaries.missing(["relay"]) != [] and not shutil.which("go"),
    reason="there is no Go to build the relay with. Bring it: https://go.dev/doc/install",
)


class Behind(ThreadingHTTPServer):
    """What stands behind: it counts connections, and its replies wait for `more` before their end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.connections = 0
        self.healthy = True
        self.more = threading.Event()

    def get_request(self):
        self.connections += 1
        return super().get_request()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Behind

    def do_GET(self) -> None:
        self.send_response(200 if self.server.healthy else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.server.more.wait(20)
        self.wfile.write(b"4\r\nlast\r\n0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def behind():
    with Behind() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server
        server.more.set()
        server.shutdown()
        thread.join()


@contextmanager
def relay(*argv: str, port: int | None = None):
    env = os.environ | ({"PORT": str(port)} if port else {})
    program = binaries.bring(["relay"])["relay"]
    with subprocess.Popen([program, *argv], env=env, stderr=subprocess.PIPE, text=True) as process:
        try:
            if port:
                wait("the relay", lambda: listens(port), 10)
            yield process
        finally:
            process.kill()


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_it_listens_on_port_and_takes_a_connection_of_its_own_for_each_request(behind):
    port = free_port()
    with (
        relay("--to", f"http://127.0.0.1:{behind.server_port}", port=port),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        assert [client.get("/health").status_code for _ in range(3)] == [200] * 3
    assert behind.connections == 3


def test_after_sigterm_what_has_begun_comes_to_its_end_and_nothing_begins(behind):
    port = free_port()
    with (
        relay("--to", f"http://127.0.0.1:{behind.server_port}", port=port) as process,
        httpx.Client(trust_env=False, timeout=20) as client,
        client.stream("POST", f"http://127.0.0.1:{port}/v1/completions", content=b"{}") as reply,
    ):
        pieces = reply.iter_bytes()
        assert next(pieces) == b"first"  # at once: the last one has not been sent
        process.terminate()
        wait("a closed door", lambda: not listens(port), 10)
        assert process.poll() is None
        behind.more.set()
        assert b"".join(pieces) == b"last"
        assert process.wait(10) == 0


def test_nobody_behind_is_a_503_that_says_when_to_try_again(behind):
    port, nobody = free_port(), free_port()
    with relay("--to", f"http://127.0.0.1:{nobody}", port=port):
        reply = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")


def test_a_check_asks_once_and_ends_with_what_it_heard(behind):
    address = f"http://127.0.0.1:{behind.server_port}/health"
    with relay("--check", address) as process:
        assert process.wait(10) == 0
    behind.healthy = False
    with relay("--check", address) as process:
        assert process.wait(10) == 1
        assert process.stderr is not None
        assert "503" in process.stderr.read()
