"""A reply that is made to take long: its pace, and that whoever was held back goes on."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import psutil

from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.probes import long_reply
from llmlab.tiers.kubernetes.probes.long_reply import TOKENS, Stream, held_back


def test_a_stream_is_early_while_more_has_come_than_its_time_is_worth(monkeypatch):
    now = 100.0
    monkeypatch.setattr(long_reply, "time", SimpleNamespace(monotonic=lambda: now))
    stream = Stream(40.0)
    pieces = stream.counted(iter([b"data: {}\n\n" * (TOKENS // 2), b"data: {}\n\n" * (TOKENS // 2)]))
    now += 10
    assert not stream.early(), "nothing has come"
    next(pieces)
    assert stream.early(), "half of it after a quarter of the time"
    now += 11
    assert not stream.early(), "half of it after more than half"
    next(pieces)
    assert stream.early()
    now += 20
    assert not stream.early(), "the time is over"


def test_who_is_held_back_stands_still_and_goes_on_afterwards():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        process = psutil.Process(busy.pid)
        pods = SimpleNamespace(processes=lambda pod: [busy.pid])
        with held_back(pods, ["pod"], lambda: True):  # early all the time: it misses every burst
            wait("the halt", lambda: process.status() == psutil.STATUS_STOPPED, 5)
        assert process.status() != psutil.STATUS_STOPPED
    finally:
        busy.kill()
        busy.wait()
