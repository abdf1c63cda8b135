"""A load that rises in steps: what is asked on each, and the largest with which a promise was kept."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from llmlab.capacity import sizing
from llmlab.capacity.plan import PlannedTier
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.stairs import LONGEST, STEPS, largest, staircase
from llmlab.capacity.trace import work
from llmlab.errors import LabError

SPEEDS = Speeds(prefill=1800.0, step=(0.0026, 0.0041, 0.0052, 0.0061), attend=8e-6, square=3e-7)
TIER = PlannedTier(load=1, slots=4, replicas=1, machine="m", price_per_million=0)


@pytest.mark.parametrize(("servers", "seconds"), [(1, 80.0), (3, 240.0)])
def test_each_step_asks_for_its_share_of_what_the_servers_can_do(servers, seconds) -> None:
    found = staircase(TIER, SPEEDS, servers, seconds=seconds, seed=4)
    assert found.width == seconds / len(STEPS)
    assert (np.diff(found.trace.arrival_s) >= 0).all()
    assert found.trace.arrival_s[-1] <= seconds
    for number, share in enumerate(STEPS):
        part = found.trace.only(found.trace.arrival_s // found.width == number)
        assert work(part, SPEEDS).sum() / found.width == pytest.approx(share * servers, rel=0.25)
    assert np.divide(found.loads, found.loads[0]) == pytest.approx(np.divide(STEPS, STEPS[0]))


def test_a_step_is_the_busiest_hour_of_a_day_with_its_load() -> None:
    """Another day, of the load that a step is said to be: its busiest hour asks for as much work."""
    found = staircase(TIER, SPEEDS, 4, seconds=LONGEST, seed=4)
    day = sizing.the_day(PlannedTier(load=found.loads[2], slots=4, replicas=4, machine="m", price_per_million=0), SPEEDS, 4)  # fmt: skip
    begins = sizing.busiest(day)
    hour = day.only((day.arrival_s >= begins) & (day.arrival_s < begins + sizing.HOUR))
    assert work(hour, SPEEDS).sum() / sizing.HOUR == pytest.approx(STEPS[2] * 4, rel=0.1)


def test_who_comes_on_a_step_comes_on_the_next() -> None:
    found = staircase(TIER, SPEEDS, 1, seconds=80, seed=1)
    each = [
        {(round(at % found.width, 9), prompt) for at, prompt in zip(part.arrival_s, part.prompt_tokens, strict=True)}
        for part in (found.trace.only(found.trace.arrival_s // found.width == number) for number in range(len(STEPS)))
    ]  # fmt: skip
    assert all(few < many for few, many in pairwise(each))


def test_shares_are_those_of_each_step() -> None:
    found = staircase(TIER, SPEEDS, 1, seconds=80, seed=1)
    kept = found.trace.arrival_s < 2.5 * found.width
    shares = found.shares(kept)
    assert shares[:2] == [1.0, 1.0]
    assert 0 < shares[2] < 1
    assert shares[3] == 0.0


@pytest.mark.parametrize(
    ("shares", "load", "low", "high"),
    [
        ([1.0, 1.0, 0.8, 0.5], 2.5, 2.0, 3.0),
        ([1.0, 0.9, 0.8, 0.5], 2.0, 2.0, 3.0),
        ([0.5, 1.0, 1.0, 1.0], None, 0.0, 1.0),
        ([1.0, 1.0, 1.0, 1.0], 4.0, 4.0, None),
        ([1.0, 0.7, 1.0, 1.0], 1 + 1 / 3, 1.0, 2.0),
    ],
)
def test_the_largest_load_is_before_the_first_step_on_which_it_was_not_kept(shares, load, low, high) -> None:
    found = largest([1.0, 2.0, 3.0, 4.0], shares, 0.9)
    assert (found.low, found.high) == (low, high)
    assert found.load == (None if load is None else pytest.approx(load))


def test_a_staircase_that_cannot_be_is_refused() -> None:
    with pytest.raises(LabError, match="cannot be"):
        staircase(TIER, SPEEDS, 1, seconds=LONGEST + 1)
    with pytest.raises(LabError, match="Nobody comes"):
        staircase(TIER, SPEEDS, 1, seconds=1e-4)
