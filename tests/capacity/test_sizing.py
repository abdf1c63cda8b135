"""Whether a tier of a plan holds: more load needs more servers, a region lost is felt, prices add up."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from llmlab.capacity import sizing
from llmlab.capacity.plan import PlannedScaling, PlannedTier, Promise, ServicePlan
from llmlab.capacity.planned_door import PlannedDoor
from llmlab.capacity.speeds import Speeds
from llmlab.errors import LabError

SPEEDS = Speeds(prefill=3000.0, step=(0.003, 0.004, 0.005, 0.006), overhead=0.002)
FAR = {a: {b: 0.0 if a == b else 0.1 for b in ("us", "eu")} for a in ("us", "eu")}
HERE = PlannedTier(load=1.0, slots=4, replicas=4, machine="c7i.xlarge", price_per_million=0.5)
PLAN = ServicePlan(
    promise=Promise(ttft_s=2.0, e2e_s=10.0, share=0.9, recovery_s=6.0),
    door=PlannedDoor(policy="least_connections", max_queue=8, max_wait_s=1.5, check_s=1.0),
    tier={"here": HERE},
)


def with_tier(**changes):
    return msgspec.structs.replace(PLAN, tier={"here": msgspec.structs.replace(HERE, **changes)})


def sized(plan=PLAN, **more):
    return sizing.size(plan, "here", SPEEDS, far=FAR, **more)


def test_the_day_asks_for_the_load_that_the_tier_says():
    trace = sizing.the_day(HERE, SPEEDS, 0)
    asked = float(sizing.work(trace, SPEEDS).sum()) / sizing.DAY
    assert asked == pytest.approx(HERE.load, rel=0.05)
    assert trace.arrival_s[-1] <= sizing.DAY


def test_fewer_servers_keep_less_and_cost_less():
    found = [sized(servers=count) for count in (6, 3, 2, 1)]
    assert [sized_fleet.share for sized_fleet in found] == sorted(
        (sized_fleet.share for sized_fleet in found), reverse=True
    )
    assert found[-1].share < 0.9 < found[0].share
    assert all(sized_fleet.one_less <= sized_fleet.worst_hour for sized_fleet in found)
    assert [sized_fleet.dollars for sized_fleet in found] == sorted(
        (sized_fleet.dollars for sized_fleet in found), reverse=True
    )


def test_the_price_is_server_hours_by_tokens():
    found = sized()
    trace = sizing.the_day(HERE, SPEEDS, 0)
    rate = sizing.dollars_an_hour("c7i.xlarge")
    assert found.dollars == pytest.approx(24 * 4 * rate, rel=0.01)
    tokens = float(trace.output_tokens.sum()) * sizing.FASTER
    assert found.per_million == pytest.approx(found.dollars / tokens * 1e6, rel=0.02), "nearly all is served"


def test_the_cheapest_holds_and_one_less_does_not():
    best = sizing.cheapest(PLAN, "here", SPEEDS, far=FAR)
    count = round(best.servers)
    assert best.holds(PLAN.promise)
    assert not sized(servers=count - 1).holds(PLAN.promise)


def test_a_load_twice_as_large_needs_more_servers_and_fewer_than_twice_as_many():
    small, large = (
        sizing.cheapest(with_tier(load=load), "here", SPEEDS, far=FAR).servers for load in (2.0, 4.0)
    )
    assert small < large < 2 * small


def test_a_promise_that_one_request_alone_cannot_keep_is_refused():
    plan = msgspec.structs.replace(
        PLAN, promise=Promise(ttft_s=0.001, e2e_s=0.002, share=0.9, recovery_s=6.0)
    )
    with pytest.raises(LabError, match=r"not even .* servers keep this promise"):
        sizing.cheapest(plan, "here", SPEEDS, far=FAR)


def test_of_several_regions_the_loss_of_one_is_tried():
    both = with_tier(load=2.0, replicas={"us": 4, "eu": 4})
    tight = with_tier(load=2.0, replicas={"us": 2, "eu": 2})
    assert sized(both).one_less > sized(tight).one_less
    at_home = with_tier(load=2.0, replicas={"us": 4, "eu": 4}, home=("us",))
    assert sized(at_home).one_less < sized(both).one_less, "who may not leave a lost region is told no"
    with pytest.raises(LabError, match="no region 'mars'"):
        sized(with_tier(replicas={"us": 2, "mars": 2}))


def test_an_autoscaled_tier_costs_less_than_its_most_and_its_clock_runs_with_the_day():
    scaled = with_tier(replicas=None, autoscale=PlannedScaling(min=2, max=6, target=2.0, startup_s=60))
    slow = with_tier(replicas=None, autoscale=PlannedScaling(min=2, max=6, target=2.0, startup_s=36_000))
    found = sized(scaled)
    assert 2 <= found.servers < 6
    assert found.dollars < sized(servers=6).dollars
    assert sized(slow).share < found.share, "servers that take ten hours to start come too late"


def test_speeds_for_another_number_of_slots():
    assert sizing.at(SPEEDS, 2).step == (0.003, 0.004)
    assert sizing.at(SPEEDS, 6).step == pytest.approx((0.003, 0.004, 0.005, 0.006, 0.007, 0.008))
    assert sizing.at(Speeds(1.0, (0.01,)), 2).step == pytest.approx((0.01, 0.02))


def test_the_busiest_hour_is_where_most_tokens_are_asked_for():
    trace = sizing.the_day(HERE, SPEEDS, 0)
    begins = sizing.busiest(trace)
    inside = (trace.arrival_s >= begins) & (trace.arrival_s < begins + sizing.HOUR)
    assert inside.sum() > 1.5 * len(trace) / 24
    assert np.isclose(begins % sizing.HOUR, 0)


def test_what_the_tables_do_not_have():
    with pytest.raises(LabError, match="no machine 'abacus'"):
        sized(with_tier(machine="abacus"))
    with pytest.raises(LabError, match="no tier 'there'"):
        sizing.size(PLAN, "there", SPEEDS, far=FAR)
    with pytest.raises(LabError, match="too many to simulate"):
        sized(with_tier(load=100_000.0))
