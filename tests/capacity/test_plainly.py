"""The simulator against the same model written to be read: request by request."""

from __future__ import annotations

import loads
import numpy as np
import plainly
import pytest

from llmlab.capacity.outcome import Became
from llmlab.capacity.simulate import simulate
from llmlab.capacity.state import POLICIES


def assert_same(trace, speeds, fleet, seed=0):
    ours, plain = simulate(trace, speeds, fleet, seed=seed), plainly.World(trace, speeds, fleet, seed).run()
    assert [Became(status).name.lower() for status in ours.status] == [r.status for r in plain.requests]
    assert ours.server.tolist() == [r.server for r in plain.requests]
    for name, column in (("started", ours.started), ("ttft", ours.ttft_s), ("e2e", ours.e2e_s)):
        np.testing.assert_allclose(
            column, [getattr(r, name) for r in plain.requests], atol=1e-9, err_msg=name
        )
    sums = ours.totals
    assert (sums.shed_full, sums.shed_late, sums.shed_displaced, sums.retried) == tuple(plain.counts.values())
    np.testing.assert_allclose(
        [sums.server_seconds, sums.slot_seconds, sums.end_s], [plain.paid, plain.slot_seconds, plain.ended]
    )
    return ours


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("queue", ["door", "server"])
def test_one_region(policy, queue):
    seen = set()
    for seed in range(15):
        ours = assert_same(
            loads.small(seed), loads.speeds(seed), loads.fleet(seed, policy, queue=queue), seed
        )
        seen |= set(ours.status.tolist())
    assert seen == ({1, 2} if queue == "door" else {1})


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("queue", ["door", "server"])
def test_regions_failures_and_an_autoscaler(policy, queue):
    retried = displaced = failed = 0
    for seed in range(24):
        fleet = loads.fleet(
            seed, policy, queue=queue, users=1 + seed % 3, failing=seed % 2 > 0, scaled=seed % 4 > 1
        )
        ours = assert_same(loads.small(seed, users=fleet.users), loads.speeds(seed), fleet, seed)
        retried, displaced = retried + ours.totals.retried, displaced + ours.totals.shed_displaced
        failed += ours.totals.failed
    assert min(retried, displaced, failed) > 0
