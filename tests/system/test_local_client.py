"""What is asked on this machine goes straight there."""

from __future__ import annotations

import re
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from llmlab.system.local_client import local_client

PACKAGE = Path(__file__).parents[2] / "llmlab"


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def address():
    with socketserver.TCPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_no_proxy_of_the_environment_is_asked(address, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # nobody is there
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{address}/x")
    with local_client(timeout=20, base_url=address) as client:
        assert client.get("/x").text == "/x"


def test_nobody_makes_another_one():
    makes = re.compile(r"httpx\.(get|post|put|delete|request|stream|Client)\(")
    found = {path.name for path in PACKAGE.rglob("*.py") if makes.search(path.read_text(encoding="utf-8"))}
    assert found == {"local_client.py"}
