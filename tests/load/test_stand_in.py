"""The load client on a stand-in that streams at a set rate, built with the compiler at hand."""

from __future__ import annotations

import dataclasses

import pytest

from llmlab.load import closed, measure
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
