"""What must hold of the simulator, whatever the load."""

from __future__ import annotations

import math
from dataclasses import replace

import loads
import numpy as np
import pytest

from llmlab.capacity.fleet import Failure, Replicas
from llmlab.capacity.outcome import Became
from llmlab.capacity.simulate import simulate
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.state import POLICIES
from llmlab.capacity.trace import Trace

SERVERS = (1, 2, 3, 5, 8)


def busy(seed, many=2000):
    """More than one server of two slots can serve."""
    return loads.poisson(
        many, 2.5, lambda draw, count: 1 + draw.exponential(1 / loads.STEP, count), seed=seed
    )


@pytest.mark.parametrize("policy", POLICIES)
def test_no_request_waits_longer_for_more_servers(policy):
    for seed in range(5):
        starts = [
            simulate(busy(seed), loads.steady(2), Replicas(servers=n, policy=policy)).started for n in SERVERS
        ]
        for fewer, more in zip(starts, starts[1:], strict=False):
            assert (more <= fewer + 1e-9).all()
        assert (starts[1] < starts[0] - 1).any()


@pytest.mark.parametrize("queue", ["door", "server"])
@pytest.mark.parametrize("policy", ["round_robin", "least_connections"])
def test_the_mean_wait_is_no_longer_for_more_servers_where_prefill_stalls_and_steps_grow(policy, queue):
    for seed in range(10):
        trace, speeds = loads.small(seed, many=400), loads.speeds(seed)
        waits = [
            simulate(trace, speeds, Replicas(servers=n, policy=policy, queue=queue)).wait_s.mean()
            for n in SERVERS
        ]
        assert all(more <= fewer + 1e-9 for fewer, more in zip(waits, waits[1:], strict=False)), (seed, waits)


def counted(begins, ends, at):
    """How many intervals [begin, end) hold each time."""
    return np.searchsorted(np.sort(begins), at, "right") - np.searchsorted(np.sort(ends), at, "right")


@pytest.mark.parametrize("policy", POLICIES)
def test_no_server_has_more_than_its_slots_and_none_is_idle_while_requests_wait(policy):
    for seed in range(8):
        speeds, fleet = loads.speeds(seed), Replicas(servers=3, policy=policy)
        ours = simulate(loads.small(seed, many=300), speeds, fleet)
        ends = ours.trace.arrival_s + ours.e2e_s - 1e-9  # a slot is taken again in the instant it is freed
        for server in range(3):
            own = ours.server == server
            assert counted(ours.started[own], ends[own], ours.started[own]).max() <= speeds.slots
        late = ours.wait_s > 1e-9
        middle = (ours.trace.arrival_s + ours.started)[late] / 2
        assert (counted(ours.started, ends, middle) == 3 * speeds.slots).all()


@pytest.mark.parametrize("queue", ["door", "server"])
def test_what_comes_in_is_served_shed_or_failed(queue):
    for seed in range(20):
        trace = loads.small(seed, users=2)
        fleet = loads.fleet(
            seed, "least_connections", queue=queue, users=2, failing=True, scaled=seed % 2 > 0
        )
        ours = simulate(trace, loads.speeds(seed), fleet)
        sums = ours.totals
        assert sums.requests == len(trace.arrival_s) == sums.served + sums.shed + sums.failed
        for became, count in (
            (Became.SERVED, sums.served),
            (Became.SHED, sums.shed),
            (Became.FAILED, sums.failed),
        ):
            assert (ours.status == became).sum() == count
        served = ours.status == Became.SERVED
        assert sums.output_tokens == trace.output_tokens[served].sum()
        assert sums.prompt_tokens == trace.prompt_tokens[served].sum()
        assert np.isfinite(ours.ttft_s[served]).all()
        assert np.isfinite(ours.e2e_s[served]).all()
        assert np.isnan(ours.e2e_s[~served]).all()
        assert np.isnan(ours.ttft_s[~served]).all()
        assert (ours.ttft_s[served] <= ours.e2e_s[served] + 1e-9).all()


def test_which_replica_it_is_changes_nothing():
    """All policies but the order of the replicas are the same where one step is as long as another."""
    waits = [
        simulate(busy(1), loads.steady(2), Replicas(servers=3, policy=policy)).wait_s for policy in POLICIES
    ]
    for other in waits[1:]:
        np.testing.assert_allclose(other, waits[0], atol=1e-9)


@pytest.mark.parametrize("policy", ["round_robin", "random", "least_connections", "power_of_two"])
def test_regions_in_another_order_are_the_same_regions(policy):
    trips = np.random.default_rng(2).uniform(0, 0.3, (3, 3))
    here = Replicas(
        servers=(1, 2, 3),
        policy=policy,
        round_trip=tuple(map(tuple, trips)),
        residency={1: (0, 2)},
        failures=(Failure(region=0, from_s=5, until_s=9),),
        retries=1,
    )
    order = [2, 0, 1]  # what was region 0 is now region 1
    there = Replicas(
        servers=(3, 1, 2),
        policy=policy,
        round_trip=tuple(map(tuple, trips[:, order])),
        residency={1: (1, 0)},
        failures=(Failure(region=1, from_s=5, until_s=9),),
        retries=1,
    )
    trace = loads.small(3, many=300, users=3)
    first, second = (simulate(trace, loads.speeds(3), fleet, seed=6) for fleet in (here, there))
    np.testing.assert_array_equal(first.e2e_s, second.e2e_s)
    assert first.totals == second.totals
    assert first.totals.retried > 0


def test_the_seed_is_the_luck():
    first, same, other = (
        simulate(
            loads.small(1, many=300), loads.speeds(1), Replicas(servers=4, policy="random"), seed=seed
        ).server
        for seed in (1, 1, 2)
    )
    assert (first == same).all()
    assert (first != other).any()


def test_an_empty_trace():
    ours = simulate(loads.small(1, many=0), loads.speeds(1), Replicas())
    assert ours.totals.requests == ours.totals.server_seconds == ours.totals.utilisation == 0
    assert np.isnan(ours.percentiles()).all()


def one(prompt=0, output=1, **more):
    columns = {name: np.array(value) for name, value in more.items()}
    return Trace(np.array([2.0]), np.array([prompt]), np.array([output]), **columns)


def test_a_request_alone():
    speeds = Speeds(prefill=100.0, step=(0.1, 0.2), overhead=0.5)
    for prompt, output, ttft, e2e in (
        (0, 1, 0.5, 0.5),
        (0, 0, 0.5, 0.5),
        (50, 1, 1.0, 1.0),
        (50, 11, 1.0, 2.0),
    ):
        ours = simulate(one(prompt, output), speeds, Replicas())
        assert (ours.ttft_s[0], ours.e2e_s[0]) == pytest.approx((ttft, e2e))
        assert ours.totals.end_s == ours.totals.server_seconds == pytest.approx(2 + e2e)
        assert ours.totals.utilisation == pytest.approx(e2e / (2 + e2e) / 2)


def test_prefill_stalls_a_slot_that_generates():
    """The first would end at 1.0; from 0.5 to 1.5 the second's prompt is computed, then both go at 0.2 s a token."""
    speeds = Speeds(prefill=100.0, step=(0.1, 0.2))
    trace = Trace(np.array([0.0, 0.5]), np.array([0, 100]), np.array([11, 3]))
    ours = simulate(trace, speeds, Replicas())
    assert ours.ttft_s.tolist() == pytest.approx([0, 1])
    # the second ends at 1.9, when the first has 3 of its 5 tokens left
    assert ours.e2e_s.tolist() == pytest.approx([1.9 + 0.3, 1.4])


def test_requests_that_come_at_once_take_the_slots_in_their_order():
    ours = simulate(
        Trace(np.zeros(6), np.full(6, 10), np.full(6, 11)), Speeds(10.0, (0.1,)), Replicas(servers=2)
    )
    assert ours.started.tolist() == pytest.approx([0, 0, 2, 2, 4, 4])
    assert ours.server.tolist() == [0, 1, 0, 1, 0, 1]


def test_a_prompt_that_is_all_cached_costs_no_prefill():
    trace = Trace(
        np.array([0.0, 9.0, 18.0]), np.full(3, 40), np.ones(3, int), np.array([1, 1, 2]), np.full(3, 40)
    )
    ours = simulate(trace, Speeds(prefill=10.0, step=(0.1, 0.1)), Replicas())
    assert ours.ttft_s.tolist() == pytest.approx([4, 0, 4])
    assert ours.totals.cached_tokens == 40
    lost = replace(trace, prefix=None, prefix_tokens=None)
    assert simulate(lost, Speeds(10.0, (0.1,)), Replicas()).ttft_s.tolist() == pytest.approx([4, 4, 4])


def test_prefix_hash_keeps_a_prefix_on_its_server_until_that_has_too_much():
    draw = np.random.default_rng(1)
    prefix = draw.integers(0, 40, 3000)
    trace = Trace(
        np.cumsum(draw.exponential(1.0, 3000)),
        np.full(3000, 100),
        np.full(3000, 50),
        prefix,
        np.full(3000, 90),
    )
    speeds = Speeds(1000.0, (0.01,) * 4)
    far, near = (
        simulate(trace, speeds, Replicas(servers=10, policy="prefix_hash", bound=bound))
        for bound in (100.0, 1.0)
    )
    assert all(len(set(far.server[prefix == p])) == 1 for p in range(40))
    assert near.totals.cached_tokens < far.totals.cached_tokens
    assert (
        simulate(trace, speeds, Replicas(servers=10, policy="random")).totals.cached_tokens
        < far.totals.cached_tokens / 2
    )


def test_a_server_that_goes_moves_no_other_servers_prefixes():
    prefix = np.arange(200)
    trace = Trace(np.arange(200.0), np.full(200, 10), np.full(200, 5), prefix, np.full(200, 5))
    fleet = Replicas(servers=5, policy="prefix_hash", bound=100.0)
    whole = simulate(trace, loads.steady(4), fleet).server
    less = simulate(
        trace,
        loads.steady(4),
        Replicas(servers=5, policy="prefix_hash", bound=100.0, failures=(Failure(server=2, from_s=0),)),
    ).server
    assert (whole == 2).any()
    assert (whole == less)[whole != 2].all()
    assert set(less[whole == 2].tolist()) == {0, 1, 3, 4}
    assert np.bincount(whole).min() > 20


def test_no_slo_is_the_share_that_was_served():
    ours = simulate(busy(3), loads.steady(2), Replicas(servers=1, max_queue=5))
    from llmlab.records.stats import SLO

    assert ours.goodput(SLO()).share == pytest.approx(ours.totals.served / ours.totals.requests)
    strict = ours.goodput(SLO(ttft_ms=1e3, e2e_ms=2e3, tpot_ms=0.11))
    kept = (ours.ttft_s <= 1) & (ours.e2e_s <= 2)
    assert strict.requests == kept.sum() > 0
    assert (
        ours.goodput(SLO(tpot_ms=0.09)).requests
        == (ours.trace.output_tokens[ours.status == Became.SERVED] <= 1).sum()
    )
    assert math.isclose(strict.requests_per_second, kept.sum() / ours.totals.end_s)
