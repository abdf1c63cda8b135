"""The load client's process: light, obedient, and gone when its parent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import psutil
import pytest

from llmlab.errors import LabError
from llmlab.load import closed
from llmlab.load.process import Worker
from llmlab.load.protocol import Done, Order, Said, Setup, Tick

LONG = closed(2, requests=10_000, max_tokens=200)


def line(what: object) -> bytes:
    return msgspec.json.encode(what) + b"\n"


@contextmanager
def worker() -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-P", "-m", "llmlab.load.worker"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdin.close()
        child.stdout.close()


def busy(child: subprocess.Popen[bytes], url: str) -> None:
    """Give it a long order and wait until it is seen to work."""
    child.stdin.write(line(Setup(url=url, vocab=400)) + line(Order(plan=LONG, warmup=False)))
    event = msgspec.json.decode(child.stdout.readline(), type=Said)
    assert isinstance(event, Tick)
    assert event.open == 2


def test_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; import llmlab.load.worker;"
        "print([m for m in ('httpx', 'numpy', 'pandas', 'psutil', 'prometheus_client', 'IPython') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_it_ends_with_its_stdin_in_the_middle_of_a_run(target) -> None:
    with worker() as child:
        busy(child, target.url)
        child.stdin.close()
        assert child.wait(timeout=2) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_it_ends_on_sigterm_in_the_middle_of_a_run(target, number) -> None:
    with worker() as child:
        busy(child, target.url)
        child.send_signal(number)
        assert child.wait(timeout=2) == 0


def test_ctrl_c_is_the_parents_business(target) -> None:
    with worker() as child:
        busy(child, target.url)
        child.send_signal(signal.SIGINT)
        assert isinstance(msgspec.json.decode(child.stdout.readline(), type=Said), Tick)
        assert child.poll() is None


def test_it_dies_with_a_parent_that_is_killed(target) -> None:
    """`kill -9` of a kernel: nobody closes anything, the pipe ends all the same."""
    code = f"""
import sys
from llmlab.load import closed
from llmlab.load.process import Worker
from llmlab.load.protocol import Order, Setup
with Worker(Setup(url={target.url!r}, vocab=400)) as worker:
    def tick(event):
        print(worker._child.pid, flush=True)
    worker.carry_out(Order(plan=closed(2, requests=10_000, max_tokens=200), warmup=False), tick)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        os.kill(parent.pid, signal.SIGKILL)
        child.wait(timeout=3)
    assert not child.is_running()


def test_a_learners_file_does_not_stand_before_the_standard_library(target, tmp_path, monkeypatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the learner wrote this')")
    monkeypatch.chdir(tmp_path)
    with Worker(Setup(url=target.url, vocab=400)) as worker_:
        done = worker_.carry_out(
            Order(plan=closed(1, requests=1, max_tokens=2), warmup=False), lambda _: None
        )
    assert isinstance(done, Done)
    assert done.samples[0].ok


def test_a_client_that_is_killed_is_reported(target) -> None:
    def kill(_: Tick) -> None:
        worker_._child.kill()

    setup = Setup(url=target.url, vocab=400)
    with Worker(setup) as worker_, pytest.raises(LabError, match="load client ended with code -9"):
        worker_.carry_out(Order(plan=LONG, warmup=False), kill)


def test_a_client_that_fails_says_why(target) -> None:
    with Worker(Setup(url=target.url, vocab=400)) as worker_:
        worker_._child.stdin.write(b"nonsense\n")
        with pytest.raises(LabError, match="ended with code 1: msgspec"):
            worker_.carry_out(Order(plan=LONG, warmup=False), lambda _: None)


def test_it_can_be_cancelled_from_another_thread(target) -> None:
    cancel = threading.Event()
    with Worker(Setup(url=target.url, vocab=400), cancel=cancel) as worker_:
        pid = worker_._child.pid
        with pytest.raises(LabError, match="stopped"):
            worker_.carry_out(Order(plan=LONG, warmup=False), lambda _: cancel.set())
    assert not psutil.pid_exists(pid)
