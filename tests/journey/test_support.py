"""What `llmlab support` writes: enough to help, and nobody's keys and names."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab.cli import support
from llmlab.cli.main import main


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef0123456789",
        "llama-server --api-key correct-horse-battery",
        "LLAMA_API_KEY=correct-horse-battery",
        '{"password": "correct-horse-battery"}',
        "http://127.0.0.1:8888/lab?token=correct-horse-battery",
        "key sk-client-0123456789ab",
        "AKIAABCDEFGHIJKLMNOP",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "-----BEGIN PRIVATE KEY-----\nMIIEabcdef\n-----END PRIVATE KEY-----",
        "mail ann.lee@example.org now",
        "from 192.168.17.4 port 80",
        "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a6978",
    ],
)
def test_what_is_secret_is_taken_out(text):
    said = support.cleaned({"deep": [text]})["deep"][0]
    for part in ("abcdef", "correct-horse", "0123456789", "MIIE", "AKIAA", "ann.lee", "192.168", "0f1e2d3c"):
        assert part not in said, said
    assert "[" in said


@pytest.mark.parametrize(
    "text",
    [
        "server.toml, line 7: no such flag 'ctx-sze'",
        "llama-server 0.5.0-dev (0c1e57098), listens on 127.0.0.1:8080 and 0.0.0.0",
        "the token count is 4,096; 12 tokens: 3",
        "docker.errors.NotFound: 404 Client Error",
        "PowerDNS with GeoIP, HAProxy, Toxiproxy",
    ],
)
def test_what_helps_is_left(text):
    assert support.cleaned(text) == text


def test_nobody_is_named(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "annlee")
    monkeypatch.setattr(socket, "gethostname", lambda: "annlees-laptop.example.org")
    home = Path.home()
    said = support.cleaned(f"{home}/course/labs of annlee on annlees-laptop and annlees-laptop.example.org")
    assert said == "~/course/labs of [user] on [host] and [host]"


def test_the_file_has_the_last_error_and_what_the_machine_has(capsys, tmp_path):
    assert main(["check", "77"]) == 1
    assert main(["support"]) == 0
    found = json.loads((tmp_path / support.FILE).read_text())
    assert "77" in found["last_error"]["error"]
    assert found["last_error"]["verb"] == "check"
    assert {need["name"] for need in found["doctor"]["needs"]} >= {"process", "docker"}
    assert found["packages"]["jupyterlab"][0].isdigit()
    assert "Read it before you send it" in capsys.readouterr().out
    text = (tmp_path / support.FILE).read_text()
    if str(Path.home()) != "/":
        assert str(Path.home()) + "/" not in text


def test_a_crash_is_kept_too(tmp_path):
    """A bug of ours, from outside: the traceback is shown as ever, and in the file afterwards."""
    program = "import llmlab.cli.main as m\nm._labs = lambda args: 1 / 0\nm.main(['labs'])"
    env = os.environ | {"LLMLAB_STATE": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert "ZeroDivisionError" in done.stderr
    assert main(["support", "--out", str(tmp_path / "s.json")]) == 0
    assert "ZeroDivisionError" in json.loads((tmp_path / "s.json").read_text())["last_error"]["error"]
