"""A canned server against the real one: the question is new each time."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llmlab.checks.genuine import ENOUGH, foreign
from llmlab.serve import Server, Spec
from llmlab.serve.api import Api

pytestmark = pytest.mark.needs("process")


class Canned(Api):
    """Speaks like llama-server, always says the same."""

    key, prefix, running, exit_code = None, "", True, None

    def __init__(self, status: int, reply: bytes) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_):
                pass

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_port}"

    def __enter__(self):
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.close_client()
        self.httpd.shutdown()
        self.httpd.server_close()


@pytest.fixture(scope="module")
def reference():
    with Server(Spec(model="tiny", flags=ENOUGH)) as server:
        yield server


def test_the_same_model_with_other_flags_is_genuine(reference):
    flags = {"threads": 1, "parallel": 2, "ctx-size": 1024, "batch-size": 64, "cache-type-k": "q8_0"}
    with Server(Spec(model="tiny", flags=flags)) as server:
        assert foreign(server, reference) is None


def test_another_model_is_not(reference):
    with Server(Spec(model="20m", flags={"threads": 1})) as server:
        assert foreign(reference, server) is not None


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps({"content": " hello", "tokens": [17], "stop": True}).encode(),
        json.dumps({"content": " hello"}).encode(),
        json.dumps(["hello"]).encode(),
        b"<html>hello</html>",
    ],
)
def test_canned_text_is_not(reference, reply):
    with Canned(200, reply) as canned:
        assert foreign(canned, reference) is not None


def test_a_server_that_refuses_completions_is_left_to_the_checks(reference):
    with Canned(404, b'{"error": {"message": "no such path"}}') as canned:
        assert foreign(canned, reference) is None
