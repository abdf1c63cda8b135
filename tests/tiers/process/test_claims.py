"""Measured claims: right, wrong, or not to be told; the measurements are given, the judgement is tested."""

from __future__ import annotations

from itertools import repeat

import factory
import pytest

from llmlab.tiers.process.claims import interval, judge_knee, own_knee

SHARP = (0.0, 0.95)


def judged(rounds, control=SHARP, **more):
    """The verdict on these rounds (the last one repeats), and how often the reference was asked."""
    rounds, asked = iter([*rounds, *[rounds[-1]] * 10]), []
    controls = repeat(control) if isinstance(control, tuple) else iter(control)

    def reference():
        asked.append(1)
        return next(controls)

    found = judge_knee(lambda: next(rounds), reference, **more)
    return found, len(asked)


@pytest.mark.parametrize(
    ("round_", "verdict"),
    [((0.0, 0.9), "passed"), ((0.8, 0.9), "failed"), ((0.0, 0.02), "failed"), ((0.9, 0.0), "failed")],
)
def test_what_is_plain_takes_one_round_and_no_reference(round_, verdict):
    found, asked = judged([round_])
    assert (found.verdict, found.rounds, asked) == (verdict, 1, 0)


def test_near_the_limit_it_is_measured_again_beside_a_reference():
    found, asked = judged([(0.15, 0.55), (0.05, 0.7), (0.1, 0.8)])
    assert (found.verdict, found.rounds, asked) == ("passed", 3, 3)


def test_steadily_wrong_by_a_little_fails():
    found, _ = judged([(0.3, 0.4)])
    assert (found.verdict, found.rounds) == ("failed", 3)


def test_to_and_fro_is_inconclusive_and_ends_with_the_budget():
    found, asked = judged(
        [(0.15, 0.55), (0.4, 0.3), (0.1, 0.6), (0.5, 0.4), (0.1, 0.7), (0.4, 0.4)], budget=6
    )
    assert (found.verdict, asked) == ("inconclusive", 6)
    assert found.at[0] < found.at[2]


def test_rounds_in_which_the_reference_shows_no_knee_count_for_nothing():
    found, asked = judged([(0.3, 0.4)], control=(0.6, 0.9), budget=4)
    assert (found.verdict, found.rounds, asked) == ("inconclusive", 0, 4)
    found, _ = judged([(0.3, 0.4)], control=[(0.6, 0.9), SHARP, SHARP, SHARP])
    assert (found.verdict, found.rounds) == ("failed", 3)


def test_an_interval_holds_the_median_and_is_reproducible():
    low, middle, high = interval([1.0, 2.0, 3.0, 4.0, 50.0], seed=3)
    assert low <= middle == 3.0 <= high
    assert interval([1.0, 2.0, 3.0, 4.0, 50.0], seed=3) == (low, middle, high)
    assert interval([2.0]) == (2.0, 2.0, 2.0)


def sweep(*streams: int, slots: int = 4):
    """As a server with these slots would answer: who finds none waits for a whole reply."""
    return factory.record([factory.run(concurrency=stream, slots=slots) for stream in streams])


def test_the_learners_own_sweep_shows_its_knee():
    assert own_knee([sweep(1, 2, 3, 4, 5, 6, 8)]) == 4
    assert own_knee([sweep(1, 2, 3, 4, slots=2)]) == 2
    assert own_knee([sweep(1, 2, 3, 4, 5, 6, 8), sweep(4)]) == 4, (
        "one point is no sweep; the one before counts"
    )
    assert own_knee([sweep(1, 2, 3, slots=8)]) is None
    assert own_knee([]) is None
