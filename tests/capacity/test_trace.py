"""A day from a seed, and what is kept of it in four minutes."""

from __future__ import annotations

import numpy as np
import pytest

from llmlab.capacity.speeds import Speeds
from llmlab.capacity.trace import NIGHT, compressed, day, plan, work
from llmlab.errors import LabError

SPEEDS = Speeds(prefill=4000.0, step=(0.002, 0.003, 0.004, 0.005), overhead=0.001)


@pytest.fixture(scope="module")
def written():
    return day(7, requests=40_000)


def hourly(trace, seconds: float = 86_400) -> np.ndarray:
    return np.histogram(trace.arrival_s, bins=24, range=(0, seconds))[0]


def test_a_day_is_the_same_for_the_same_seed_and_another_for_another(written) -> None:
    again, other = day(7, requests=40_000), day(8, requests=40_000)
    for name in ("arrival_s", "prompt_tokens", "output_tokens"):
        assert np.array_equal(getattr(written, name), getattr(again, name))
    assert not np.array_equal(written.arrival_s[:100], other.arrival_s[:100])
    assert written.arrival_s[:3].round(3).tolist() == PINNED


PINNED = [1.507, 1.652, 5.548]


@pytest.mark.parametrize("seed", range(4))
def test_a_day_has_about_as_many_requests_as_asked_in_order_and_within_it(seed: int) -> None:
    trace = day(seed, requests=10_000, seconds=3600)
    assert len(trace) == pytest.approx(10_000, abs=4 * 100)  # Poisson: four standard deviations
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.arrival_s[0] >= 0
    assert trace.arrival_s[-1] < 3600
    assert min(trace.prompt_tokens.min(), trace.output_tokens.min()) >= 1


def test_afternoons_are_busier_than_nights_and_one_hour_is_viral(written) -> None:
    users = written.only(written.output_tokens > 0)
    each = hourly(users)
    assert each[13:17].mean() > 3 * each[[0, 5, 6]].mean()
    ratio = each[9:22] / (1 - 0.65 * np.cos(2 * np.pi * (np.arange(9.5, 22) - 3) / 24))
    assert ratio.max() > 1.6 * np.median(ratio)


def test_long_prompts_come_at_night(written) -> None:
    hour = written.arrival_s / 3600
    night = (hour >= NIGHT[0]) & (hour < NIGHT[1])
    assert np.median(written.prompt_tokens[night]) > 3 * np.median(written.prompt_tokens[~night])
    assert (written.prompt_tokens[night] > 500).sum() > 3 * (written.prompt_tokens[~night] > 500).sum() / 6


def test_there_are_bursts_beyond_poissons(written) -> None:
    """Variance over mean of counts a minute within the hours; for Poisson it would be 1 and 0.04 off at most."""
    counts = np.histogram(written.arrival_s, bins=1440, range=(0, 86_400))[0].reshape(24, 60)
    assert (counts.var(axis=1) / counts.mean(axis=1)).mean() > 1.5


def test_compressed_keeps_the_load_that_was_asked_for_and_the_curve(written) -> None:
    short = compressed(written, 240, speeds=SPEEDS, servers=2, load=0.5)
    assert work(short, SPEEDS).sum() / 240 / 2 == pytest.approx(0.5, rel=0.08)
    assert short.arrival_s.max() <= 240
    assert np.corrcoef(hourly(written), hourly(short, 240))[0, 1] > 0.97
    assert np.median(short.prompt_tokens) == pytest.approx(np.median(written.prompt_tokens), rel=0.1)


def test_a_server_twice_as_slow_is_sent_half_as_many(written) -> None:
    slow = Speeds(SPEEDS.prefill / 2, tuple(2 * s for s in SPEEDS.step), 2 * SPEEDS.overhead)
    fast, slower = (len(compressed(written, 60, speeds=it)) for it in (SPEEDS, slow))
    assert slower == pytest.approx(fast / 2, rel=0.1)


def test_a_day_that_is_too_small_says_how_large_it_must_be() -> None:
    with pytest.raises(LabError, match="The trace holds") as caught:
        compressed(day(1, requests=100), 240, speeds=SPEEDS)
    assert caught.value.fix.startswith("day(seed, requests=")
    with pytest.raises(LabError, match="empty trace"):
        compressed(day(1).only(np.array([], dtype=int)), 240, speeds=SPEEDS)
    with pytest.raises(LabError, match="is empty"):
        day(1, requests=0)


def test_a_plan_sends_each_request_with_its_own_lengths(written) -> None:
    few = written.only(np.arange(5))
    made = plan(few, seed=3)
    assert (made.pattern, made.seed, made.requests) == ("trace", 3, 5)
    assert made.offsets == few.arrival_s.tolist()
    assert made.each_prompt == few.prompt_tokens.tolist()
    assert made.each_reply == few.output_tokens.tolist()
