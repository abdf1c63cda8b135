"""A trace in pieces is the trace."""

from __future__ import annotations

import math
import subprocess
import sys
import tracemalloc

import loads
import numpy as np
import pytest

from llmlab.capacity import jit, simulate
from llmlab.capacity.fleet import Replicas
from llmlab.capacity.state import POLICIES
from llmlab.capacity.trace import Trace
from llmlab.errors import LabError
from llmlab.records.stats import SLO


def cut(trace, *at):
    """A trace in pieces."""
    columns = [
        np.split(column, at) if column is not None else [None] * (len(at) + 1)
        for column in vars(trace).values()
    ]
    return [Trace(*parts) for parts in zip(*columns, strict=True)]


@pytest.mark.parametrize("policy", POLICIES)
def test_pieces_are_the_whole(policy, monkeypatch):
    for seed in range(6):
        users = 1 + seed % 3
        trace, speeds = loads.small(seed, many=300, users=users), loads.speeds(seed)
        fleet = loads.fleet(seed, policy, users=users, failing=seed > 2, scaled=seed % 2 > 0)
        slo = SLO(ttft_ms=700, e2e_ms=1500, tpot_ms=40)
        whole = simulate.simulate(trace, speeds, fleet, seed=seed)
        monkeypatch.setattr(simulate, "PIECE", 7)
        summary = simulate.simulate_stream(cut(trace, 0, 1, 50, 50, 299), speeds, fleet, seed=seed, slo=slo)
        monkeypatch.undo()
        assert summary.totals == whole.totals
        assert summary.goodput() == whole.goodput(slo)
        for what in ("ttft", "e2e", "wait"):
            served = getattr(whole, f"{what}_s")[whole.status == 1]
            assert summary.mean(what) == pytest.approx(served.mean())
            ranked = np.percentile(served, (50, 95, 99), method="inverted_cdf")
            np.testing.assert_allclose(summary.percentiles(what), ranked, rtol=0.0051, atol=1e-6)


def test_chunks_must_go_on_where_the_last_has_ended():
    first, second = cut(loads.small(1), 30)
    with pytest.raises(LabError, match="ascending"):
        simulate.simulate_stream([second, first], loads.speeds(1), Replicas())


def test_no_chunk_and_no_served_request():
    summary = simulate.simulate_stream([], loads.speeds(1), Replicas(), slo=SLO())
    assert np.isnan(summary.percentiles()).all()
    assert math.isnan(summary.mean())
    assert summary.goodput().share == 0
    for ask in (summary.percentiles, summary.mean):
        with pytest.raises(LabError, match="'itl' is not simulated"):
            ask("itl")
    with pytest.raises(LabError, match="resolution"):
        simulate.simulate_stream([], loads.speeds(1), Replicas(), resolution=0)


def chunks(many, each=20_000):
    draw, begin = np.random.default_rng(1), 0.0
    for _ in range(many):
        arrival = begin + np.cumsum(draw.exponential(1 / 32, each))
        begin = arrival[-1]
        yield Trace(arrival, np.zeros(each, int), draw.geometric(loads.STEP, each))


def test_memory_is_for_what_is_in_flight():
    peaks = []
    simulate.simulate_stream(chunks(1), loads.steady(4), Replicas(servers=10))
    for many in (5, 50):
        tracemalloc.start()
        summary = simulate.simulate_stream(chunks(many), loads.steady(4), Replicas(servers=10))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert summary.totals.requests == 20_000 * many
    assert peaks[1] < 1.1 * peaks[0]


def test_nothing_is_compiled_before_it_is_needed():
    code = "import sys, llmlab.capacity.simulate; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_no_folder_to_keep_it_in(monkeypatch, tmp_path):
    """Where the cache is none of ours: a temporary folder; where nothing can be written at all: without."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path / "file" / "cache"))
    assert not jit._folder().startswith(str(tmp_path))
    given, really = [], jit.numba.njit

    def njit(**options):
        given.append(options)
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function 'twice': no locator available")
        return really(**options)

    monkeypatch.setattr(jit.numba, "njit", njit)
    assert jit.jit(lambda number: 2 * number)(21) == 42
    assert len(given) == 2
    assert jit.numba.config.CACHE_DIR != jit.FOLDER
