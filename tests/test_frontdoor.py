"""`llmlab` without a verb, up to the point where JupyterLab opens (the browser test goes on from there)."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab.records.schema import Record
from llmlab.records.store import read

COURSE = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.needs("process")


def llmlab(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "llmlab", *words]
    return subprocess.run(
        line, cwd=COURSE, env=os.environ | env, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


def test_first_light_measures_a_real_server_and_keeps_the_proof(tmp_path):
    done = llmlab("--no-lab", LLMLAB_STATE=str(tmp_path))
    assert done.returncode == 0, done.stderr
    one, four = map(int, re.search(r"(\d+) tokens/s for one user, (\d+) for four", done.stdout).groups())
    assert one > 0
    assert four > 0
    record: Record = read(tmp_path / "first-light" / "record.json")
    assert [run.plan.concurrency for run in record.runs] == [1, 2, 4]
    assert all(sample.ok for run in record.runs for sample in run.samples)
    assert (tmp_path / "first-light" / "throughput.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads(llmlab("clean", "--list", "--json", LLMLAB_STATE=str(tmp_path)).stdout)["found"] == []


def test_a_taken_jupyter_port_is_said_before_anything_is_opened(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = llmlab("--no-browser", "--port", str(port), LLMLAB_STATE=str(tmp_path))
    assert done.returncode == 1
    assert f"Port {port} is taken by pid {os.getpid()}" in done.stderr
    assert done.stdout == ""
