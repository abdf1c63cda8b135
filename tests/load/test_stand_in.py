"""The load client on a stand-in that streams at a set rate, built with the compiler at hand."""

from __future__ import annotations

import dataclasses

import pytest

from llmlab import machine
from llmlab.load import closed, measure, noise
from llmlab.records import stats

from ..benchmarks.stand_in import COMPILER, stand_in

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no C compiler for the stand-in")


def test_every_token_is_counted_and_has_its_arrival(target) -> None:
    with stand_in(4000) as server:
        fast = dataclasses.replace(target, url=server.url, pid=server.pid, throttle=None)
        (run,) = measure(fast, [closed(64, requests=128, warmup=0, max_tokens=32)]).runs
    assert [s.error for s in stats.failed(run)] == []
    assert {(s.completion_tokens, len(s.chunks), s.counted_by) for s in run.samples} == {(32, 32, "usage")}
    assert server.tokens == 128 * 32
    assert all(s.sent < s.first <= s.last <= s.end for s in run.samples)
    assert stats.tokens_per_second(run) < 4000 * 1.1
    assert run.noise.piled is not None
    assert run.noise.piled < 0.5


def test_where_a_core_is_not_enough_the_run_is_made_again_by_twice_as_many(target, monkeypatch) -> None:
    """Up to a quarter of the cores. How busy a client gets is this machine's affair, so here a fiftieth of a core is too much."""
    monkeypatch.setattr(machine, "cpus_allowed", lambda: 8)
    monkeypatch.setattr(noise, "CLIENT_BUSY", 0.02)
    plan = closed(16, requests=32, warmup=0, max_tokens=32)
    with stand_in(20_000) as server:
        fast = dataclasses.replace(target, url=server.url, pid=server.pid, throttle=None)
        (run,) = measure(fast, [plan]).runs
    assert server.tokens == 2 * 32 * 32
    assert run.noise.client_processes == 2
    assert [s.n for s in run.samples] == list(range(32))
    assert [s.error for s in stats.failed(run)] == []
    assert run.noise.client_limited
