"""What is billed while a plan scales to zero: the closed form against a series of arrivals, its limits, and the prices' own file."""

from __future__ import annotations

import math

import pytest

from llmlab.errors import LabError
from llmlab.tiers.serverless.costs import (
    COLUMNS,
    HOUR,
    Instance,
    Pricing,
    billed,
    catalogue,
    crossing,
    dollars,
    plans,
    rows,
    simulated,
)

SERVER = Instance(tokens_per_second=60, slots=4, vcpu=4, gib=16, cold_start=20)
TOKENS = 200
SECONDS = SERVER.seconds(TOKENS)  # 13.3


def zero(bills: str = "instance", window: float = 60.0, **more) -> Pricing:
    return Pricing(name="zero", second=1e-4, stays=False, bills=bills, window=window, **more)


def test_a_request_has_a_slot_as_long_as_its_tokens_take_with_all_slots_busy():
    assert pytest.approx(200 / (60 / 4)) == SECONDS


@pytest.mark.parametrize("load", [0.001, 0.01, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("window", [0.0, 6.0, 60.0, 900.0])
@pytest.mark.parametrize("bills", ["instance", "request"])
def test_on_one_instance_the_closed_form_is_what_happens(bills, window, load):
    """`load`: requests at work on average, of 4 slots. Two standard errors of so many arrivals are about 1.5 %."""
    plan, rate = zero(bills, window), load / SECONDS
    found, counted = billed(plan, SERVER, TOKENS, rate), simulated(plan, SERVER, TOKENS, rate)
    few = load <= 0.3
    assert found.instances == pytest.approx(counted.instances, rel=0.015 if few else 0.1)
    assert found.cold == pytest.approx(counted.cold, rel=0.05 if few else 0.3, abs=0.002)


@pytest.mark.parametrize("load", [2, 4, 8, 20])
@pytest.mark.parametrize(("bills", "low", "high"), [("instance", -0.02, 0.07), ("request", -0.16, 0.0)])
def test_on_many_instances_it_is_as_far_off_as_it_says(bills, low, high, load):
    for window in (60.0, 900.0):
        plan, rate = zero(bills, window), load / SECONDS
        off = billed(plan, SERVER, TOKENS, rate).instances / simulated(plan, SERVER, TOKENS, rate).instances - 1  # fmt: skip
        assert low <= off <= high


def test_the_first_instance_is_the_formula_of_its_docstring():
    rate = 0.2 / SECONDS
    one = Instance(tokens_per_second=60 * 250, slots=1000, vcpu=4, gib=16, cold_start=20)  # nobody ever needs a second  # fmt: skip
    exponent = rate * (one.seconds(TOKENS) + 60)
    expected = 1 - 1 / (rate * 20 + math.exp(exponent))
    assert billed(zero(), one, TOKENS, rate).instances == pytest.approx(expected, rel=1e-9)


def test_a_request_alone_pays_its_start_its_time_and_the_window():
    """At the least traffic every request is alone: c + s + w seconds of an instance, or c + s where idle time is free."""
    rate = 1e-7
    assert billed(zero("instance"), SERVER, TOKENS, rate).instances / rate == pytest.approx(20 + SECONDS + 60, rel=1e-3)  # fmt: skip
    assert billed(zero("request"), SERVER, TOKENS, rate).instances / rate == pytest.approx(20 + SECONDS, rel=1e-3)  # fmt: skip
    assert billed(zero(), SERVER, TOKENS, rate).cold == pytest.approx(1, abs=1e-4)


def test_with_much_traffic_there_are_as_many_as_are_needed_and_nobody_waits():
    load = 400.0
    found = billed(zero("request"), SERVER, TOKENS, load / SECONDS)
    assert found.instances == pytest.approx(load / SERVER.slots, rel=0.02)
    assert found.cold < 1e-3


@pytest.mark.parametrize(
    ("load", "many"), [(0.01, 1), (2.8, 1), (2.9, 2), (28.0, 10)], ids=["one", "full", "more", "ten"]
)
def test_a_plan_that_stays_has_room(load, many):
    always = Pricing(name="always", second=1e-4, stays=True)
    assert billed(always, SERVER, TOKENS, load / SECONDS) == type(billed(zero(), SERVER, TOKENS, 1.0))(many, 0.0)  # fmt: skip


def test_dollars_are_seconds_and_requests_over_tokens():
    always = Pricing(name="always", second=0.36 / HOUR, stays=True)
    # $0.36 an hour, 100 requests of 200 tokens an hour: 20,000 tokens
    assert dollars(always, SERVER, TOKENS, 100 / HOUR) == pytest.approx(0.36 / 20_000 * 1e6)
    fee = zero("request", request=0.4e-6)
    free = zero("request")
    extra = dollars(fee, SERVER, TOKENS, 0.01) - dollars(free, SERVER, TOKENS, 0.01)
    assert extra == pytest.approx(0.4e-6 / 200 * 1e6)


def test_a_crossing_is_where_both_cost_the_same():
    always = Pricing(name="always", second=0.9e-4, stays=True)
    at = crossing(zero(), always, SERVER, TOKENS)
    assert dollars(zero(), SERVER, TOKENS, at / HOUR) == pytest.approx(dollars(always, SERVER, TOKENS, at / HOUR), rel=1e-6)  # fmt: skip
    assert dollars(zero(), SERVER, TOKENS, at / 2 / HOUR) < dollars(always, SERVER, TOKENS, at / 2 / HOUR)
    assert crossing(zero(), Pricing(name="dear", second=1.0, stays=True), SERVER, TOKENS, high=100) is None
    # the longer it idles on the bill, the sooner it is the dearer one
    assert crossing(zero(window=900), always, SERVER, TOKENS) < at


def test_the_files_plans_have_prices_dates_and_sources():
    made = plans(SERVER)
    assert {plan.stays for plan in made} == {True, False}
    for row, plan in zip(catalogue()["plan"], made, strict=True):
        assert row["read"]
        assert plan.priced.startswith("2026-")
        assert 0.04 < plan.second * HOUR / SERVER.vcpu < 0.15, plan  # dollars a core and hour
    named = {plan.name: plan for plan in made}
    assert named["Fargate"].second * HOUR == pytest.approx(4 * 0.04048 + 16 * 0.004445)
    assert named["Cloud Run, billed by request"].second == pytest.approx(4 * 24e-6 + 16 * 2.5e-6)
    assert named["EC2"].second * HOUR == 0.2016  # m7i.xlarge


def test_a_server_too_large_for_any_machine_is_said():
    with pytest.raises(LabError, match=r"No machine of data/aws\.toml has 64 cores"):
        plans(Instance(tokens_per_second=60, slots=4, vcpu=64, gib=16, cold_start=20))


def test_no_traffic_is_no_cost():
    with pytest.raises(LabError, match="cost nothing"):
        billed(zero(), SERVER, TOKENS, 0)


def test_rows_have_the_columns():
    made = rows(SERVER, TOKENS, [100, 1])
    assert all(len(row) == len(COLUMNS) for row in made)
    assert [row[0] for row in made[:2]] == [1, 100]
    assert len(made) == 2 * len(plans(SERVER))
