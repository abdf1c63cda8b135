"""What a fleet may be, and small days of it worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from llmlab.capacity.fleet import Autoscaler, Failure, Replicas
from llmlab.capacity.outcome import Became
from llmlab.capacity.simulate import simulate
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.trace import Trace, work
from llmlab.errors import LabError

ONE_SECOND = Speeds(prefill=1.0, step=(1.0,))  # with one prompt token and one of output: a second


def trace(*arrivals, region=None):
    many = len(arrivals)
    return Trace(np.array(arrivals, float), np.ones(many, int), np.ones(many, int), region=region)


SCALER = Autoscaler(min=1, max=2, target=1.0, startup=2.0, interval=1.0, down_delay=3.0)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"servers": 0}, "has none"),
        ({"queue": "server", "max_wait": 1.0}, "are the door's"),
        ({"max_queue": -1}, "must not be negative"),
        ({"bound": 0.5}, "below 1"),
        ({"round_trip": ((0.1, 0.2),)}, "needs 1 times"),
        ({"round_trip": ((0.1,),), "residency": {1: (0,)}}, "without a row"),
        ({"residency": {0: ()}}, "server regions from 0 to 0"),
        ({"failures": (Failure(from_s=1),)}, "a server or a region"),
        ({"failures": (Failure(server=0, from_s=1, until_s=1),)}, "an end after its beginning"),
        ({"failures": (Failure(server=1, from_s=1),)}, "not there"),
        ({"autoscaler": Autoscaler(min=2, max=1, target=1.0, startup=1.0)}, "0 ≤ min ≤ max"),
        ({"autoscaler": Autoscaler(min=1, max=1, target=1.0, startup=-1.0)}, "must not be negative"),
    ],
)
def test_what_cannot_be_is_said(what, says):
    with pytest.raises(LabError, match=says):
        Replicas(**what)


@pytest.mark.parametrize(
    ("what", "says"),
    [({"prefill": 0.0}, "prefill"), ({"step": ()}, "step"), ({"overhead": -1.0}, "overhead")],
)
def test_a_speed_is_above_0(what, says):
    with pytest.raises(LabError, match=says):
        Speeds(**{"prefill": 1.0, "step": (1.0,), **what})


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (trace(2, 1), "ascending"),
        (trace(-1, 1), "ascending"),
        (trace(1, np.nan), "ascending"),
        (Trace(np.zeros(2), np.zeros(1, int), np.zeros(2, int)), "2 arrivals and 1 values of prompt_tokens"),
        (Trace(np.zeros(1), np.zeros(1, int), np.full(1, -3)), "output_tokens has a value below 0: -3"),
        (trace(1, region=np.array([1])), "users in region 1"),
    ],
)
def test_a_trace_that_is_none_is_refused(what, says):
    with pytest.raises(LabError, match=says):
        simulate(what, ONE_SECOND, Replicas())


def test_a_full_queue_and_a_long_wait():
    ours = simulate(trace(0, 0, 0, 0), ONE_SECOND, Replicas(max_queue=2))
    assert ours.status.tolist() == [Became.SERVED] * 3 + [Became.SHED]
    assert ours.totals.shed_full == 1
    ours = simulate(trace(0, 0, 0, 0), ONE_SECOND, Replicas(max_wait=1.5))
    assert ours.e2e_s[:2].tolist() == [1, 2]
    assert ours.status.tolist() == [Became.SERVED] * 2 + [Became.SHED] * 2
    assert ours.totals.shed_late == 2


def test_a_second_server_is_started_paid_and_drained():
    """Three come at 0; at 1 s two are left, so a second server is wanted, and ready at 3 s: too late for them. From 2 s to 5 s
    only one is wanted, so then the second goes: it is paid for from 1 to 5 s, the first until the end."""
    ours = simulate(trace(0, 0, 0, 9), ONE_SECOND, Replicas(autoscaler=SCALER))
    assert ours.e2e_s.tolist() == [1, 2, 3, 1]
    assert ours.totals.end_s == 10
    assert ours.totals.server_seconds == pytest.approx(10 + (5 - 1))


def test_from_zero():
    scaler = Autoscaler(min=0, max=1, target=1.0, startup=2.0, interval=1.0, down_delay=1.0)
    ours = simulate(trace(0.5), ONE_SECOND, Replicas(servers=0, autoscaler=scaler))
    assert ours.ttft_s.tolist() == [0.5 + 2 + 1]
    assert ours.totals.server_seconds == pytest.approx(3)


def test_what_is_in_flight_at_a_failure_is_lost_or_goes_back_to_the_door():
    failure = Failure(server=0, from_s=0.5, until_s=5)
    ours = simulate(trace(0, 3), ONE_SECOND, Replicas(failures=(failure,)))
    assert ours.status.tolist() == [Became.FAILED, Became.SERVED]
    assert ours.e2e_s[1] == 3
    ours = simulate(trace(0, 3), ONE_SECOND, Replicas(failures=(failure,), retries=1))
    assert ours.e2e_s.tolist() == [6, 4]
    ours = simulate(trace(0, 3), ONE_SECOND, Replicas(servers=2, failures=(failure,), retries=1))
    assert ours.e2e_s.tolist() == [1.5, 1]
    assert ours.server.tolist() == [1, 1]


def test_nobody_ever_serves():
    gone = Failure(region=0, from_s=0)
    for more in ({}, {"autoscaler": SCALER}):
        ours = simulate(trace(1, 2), ONE_SECOND, Replicas(failures=(gone,), **more))
        assert ours.status.tolist() == [Became.FAILED] * 2


def test_the_nearest_region_then_the_next_then_home_only():
    users = np.array([0, 0, 1, 1])
    far = {"servers": (1, 1), "round_trip": ((0.1, 0.3), (0.4, 0.2))}
    ours = simulate(trace(0, 0, 5, 5, region=users), ONE_SECOND, Replicas(**far))
    assert ours.server.tolist() == [0, 1, 1, 0]
    assert ours.ttft_s.tolist() == pytest.approx([1.1, 1.3, 1.2, 1.4])
    ours = simulate(trace(0, 0, 5, 5, region=users), ONE_SECOND, Replicas(**far, residency={1: (1,)}))
    assert ours.server.tolist() == [0, 1, 1, 1]
    lost = Failure(region=1, from_s=4, until_s=7)
    ours = simulate(
        trace(0, 0, 5, 8, region=users), ONE_SECOND, Replicas(**far, residency={1: (1,)}, failures=(lost,))
    )
    assert ours.status.tolist() == [Became.SERVED] * 2 + [Became.SHED, Became.SERVED]
    assert ours.totals.shed_displaced == 1


def test_long_prompts_and_contexts_cost_what_was_measured():
    """Prefill takes a·n + q·n²; a step of b slots takes longer by `attend` for each token of context in them."""
    trace = Trace(np.array([0.0, 100.0]), np.array([100, 1000]), np.array([11, 11]))
    plain = Speeds(prefill=1000.0, step=(0.01, 0.02))
    curved = Speeds(prefill=1000.0, step=(0.01, 0.02), square=1e-6, attend=1e-5)
    before, after = (simulate(trace, speeds, Replicas()) for speeds in (plain, curved))
    assert after.ttft_s - before.ttft_s == pytest.approx([0.01, 1.0])
    contexts = np.array([100, 1000]) + 5.5  # of ten steps: from one more than the prompt to ten more
    assert (after.e2e_s - after.ttft_s) - (before.e2e_s - before.ttft_s) == pytest.approx(
        10 * 1e-5 * contexts
    )
    busy = work(trace, curved) - work(trace, plain)
    assert busy == pytest.approx([0.01 + 11 * 1e-5 * 105.5, 1.0 + 11 * 1e-5 * 1005.5])
