"""When requests leave: exact, reproducible, and truly Poisson."""

from __future__ import annotations

import math
import statistics

import pytest

from llmlab.errors import LabError
from llmlab.load import closed, constant, describe, poisson, schedule, sessions, trace


def gaps(offsets: list[float]) -> list[float]:
    return [b - a for a, b in zip([0.0, *offsets], offsets, strict=False)]


def test_constant_is_constant() -> None:
    assert schedule(constant(4.0, requests=5)) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_trace_is_kept_and_sorted() -> None:
    plan = trace([3.0, 0.0, 0.5])
    assert schedule(plan) == [0.0, 0.5, 3.0]
    assert plan.requests == 3


def test_lengths_stay_with_their_arrivals_when_these_are_sorted() -> None:
    plan = trace([3.0, 0.0, 0.5], each_prompt=[30, 10, 20], each_reply=[3, 1, 2])
    assert (plan.offsets, plan.each_prompt, plan.each_reply) == ([0.0, 0.5, 3.0], [10, 20, 30], [1, 2, 3])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: trace([0, 1, 2], each_prompt=[8, 8]), "each_prompt has 2 lengths for 3 arrivals"),
        (lambda: trace([0, 1, 2], each_reply=[8] * 4), "each_reply has 4 lengths for 3 arrivals"),
        (lambda: closed(1, requests=2, each_reply=[8]), "each_reply has 1 lengths for 2 requests"),
        (lambda: trace([0, 1], each_reply=[8, 0]), "at least 1 token, not 0"),
        (lambda: sessions(1, each_reply=[8] * 8), "belongs to other loads"),
    ],
)
def test_lengths_that_do_not_fit_are_refused(make, words: str) -> None:
    with pytest.raises(LabError, match=words):
        make()


def test_a_closed_loop_has_no_schedule() -> None:
    assert schedule(closed(4)) is None


def test_sessions_count_their_turns_and_have_no_schedule() -> None:
    plan = sessions(3, sessions=5, turns=4)
    assert (plan.requests, plan.api, plan.cache_prompt) == (20, "chat", True)
    assert schedule(plan) is None
    assert describe(plan) == "sessions of 4 turns, 3 users"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"users": 0}, "ask nothing"),
        ({"users": 1, "turns": 0}, "ask nothing"),
        ({"users": 1, "think": -1}, "must not be negative"),
        ({"users": 1, "api": "completion"}, "A session is a chat"),
    ],
)
def test_sessions_that_cannot_be_are_refused(wrong: dict, words: str) -> None:
    with pytest.raises(LabError, match=words):
        sessions(**wrong)


def test_poisson_is_the_same_for_the_same_seed_on_every_machine() -> None:
    drawn = schedule(poisson(2.0, requests=4, seed=7))
    assert drawn == schedule(poisson(2.0, requests=4, seed=7))
    assert drawn != schedule(poisson(2.0, requests=4, seed=8))
    assert [round(x, 9) for x in drawn or []] == PINNED


PINNED = [0.195657422, 0.277416651, 0.80366446, 0.841261356]


@pytest.mark.parametrize("seed", range(5))
def test_poisson_gaps_are_exponential(seed: int) -> None:
    """Kolmogorov-Smirnov against 1 - exp(-rate x): D < 1.95 / sqrt(n) fails one honest sample in a thousand."""
    n, rate = 2000, 20.0
    drawn = sorted(gaps(schedule(poisson(rate, requests=n, seed=seed)) or []))
    cdf = [1 - math.exp(-rate * x) for x in drawn]
    distance = max(max((i + 1) / n - c, c - i / n) for i, c in enumerate(cdf))
    assert distance < 1.95 / math.sqrt(n)
    assert statistics.mean(drawn) == pytest.approx(1 / rate, rel=0.08)  # 3.5 standard errors
    assert statistics.pstdev(drawn) == pytest.approx(1 / rate, rel=0.12)


def test_poisson_draws_every_gap_once_and_does_not_rescale() -> None:
    """Two faults found in other tools: repeated gaps (guidellm 0.8.1), gaps rescaled to N / rate (vllm bench)."""
    drawn = schedule(poisson(20.0, requests=200)) or []
    assert len(set(gaps(drawn))) == 200
    ends = {(schedule(poisson(20.0, requests=200, seed=s)) or [])[-1] for s in range(20)}
    assert statistics.pstdev(ends) == pytest.approx(math.sqrt(200) / 20.0, rel=0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: closed(0),
        lambda: closed(2, requests=0),
        lambda: constant(0),
        lambda: poisson(-1.0),
        lambda: trace([]),
        lambda: trace([-1.0, 2.0]),
        lambda: closed(1, max_tokens=0),
        lambda: closed(1, prompt_tokens=0),
        lambda: closed(1, api="telepathy"),
    ],
)
def test_a_load_that_makes_no_sense_is_refused(make) -> None:
    with pytest.raises(LabError):
        make()


def test_plans_say_themselves() -> None:
    assert describe(closed(1)) == "closed, 1 stream"
    assert describe(closed(8)) == "closed, 8 streams"
    assert describe(poisson(2.5)) == "poisson, 2.5/s"
    assert describe(trace([0, 1])) == "trace of 2 requests"
