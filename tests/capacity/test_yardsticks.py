"""The simulator against SimPy and Ciw: the same arrivals and lengths, request by request."""

from __future__ import annotations

import loads
import numpy as np
import pytest

pytest.importorskip("simpy", reason="SimPy is missing: uv sync --group bench")
pytest.importorskip("ciw", reason="Ciw is missing: uv sync --group bench")

import yardsticks

from llmlab.capacity.fleet import Replicas
from llmlab.capacity.simulate import simulate
from llmlab.capacity.speeds import Speeds


@pytest.mark.parametrize(("servers", "slots"), [(1, 1), (3, 2), (10, 4)])
def test_one_queue_in_simpy_and_in_ciw(servers, slots):
    rate = 0.95 * servers * slots  # of 1 s on average
    trace = loads.poisson(5000, rate, lambda draw, many: 1 + draw.exponential(1 / loads.STEP, many), seed=4)
    ours = simulate(trace, loads.steady(slots), Replicas(servers=servers))
    service = (trace.output_tokens - 1) * loads.STEP
    assert ours.wait_s.mean() > 0.5 / (servers * slots)
    np.testing.assert_allclose(
        yardsticks.simpy_queue(trace, service, servers * slots), ours.started, atol=1e-6
    )
    np.testing.assert_allclose(yardsticks.ciw_queue(trace, service, servers * slots), ours.started, atol=1e-6)


@pytest.mark.parametrize(("servers", "slots"), [(1, 1), (1, 4), (3, 3)])
def test_servers_with_prefill_in_simpy(servers, slots):
    """Prefill takes a third of the time, so that most requests are stalled by another's."""
    many = 4000
    draw = np.random.default_rng(5)
    speeds = Speeds(prefill=1000.0, step=(0.01,) * slots, overhead=0.003)
    trace = loads.poisson(
        many, servers * min(slots, 2) / 1.4, lambda _, count: 1 + draw.integers(0, 100, count), seed=5
    )
    trace.prompt_tokens[:] = draw.integers(0, 500, many)
    ours = simulate(trace, speeds, Replicas(servers=servers))
    started, ttft, e2e = yardsticks.simpy_servers(trace, speeds, servers)
    np.testing.assert_allclose(ours.started, started, atol=1e-6)
    np.testing.assert_allclose(ours.ttft_s, ttft, atol=1e-6)
    np.testing.assert_allclose(ours.e2e_s, e2e, atol=1e-6)
    alone = (trace.output_tokens - 1) * 0.01 + ours.ttft_s
    assert slots == 1 or (ours.e2e_s > alone + 1e-6).mean() > 0.4
