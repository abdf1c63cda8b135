"""The metrics, each against a case small enough to work out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from plays import run, sample

from llmlab.records import stats
from llmlab.records.schema import Sample
from llmlab.records.stats import SLO

FAILED = Sample(
    n=9, scheduled=0.0, sent=0.1, first=0.2, last=0.2, chunks=[0.2], completion_tokens=1, error="cut"
)


def test_latencies_from_sending_and_from_the_schedule() -> None:
    one = run(sample(late=0.5))
    assert stats.ttft(one) == pytest.approx([1.0])
    assert stats.ttft(one, "scheduled") == pytest.approx([1.5])
    assert stats.e2e(one) == pytest.approx([2.25])
    assert stats.e2e(one, "scheduled") == pytest.approx([2.75])
    assert stats.lateness(one) == pytest.approx([0.5])


def test_tpot_divides_by_tokens_less_the_first() -> None:
    assert stats.tpot(run(sample())) == pytest.approx([1.0 / 4])


def test_tpot_of_one_token_does_not_exist() -> None:
    assert stats.tpot_of(sample(completion_tokens=1)) is None
    assert stats.tpot(run(sample(completion_tokens=1))).size == 0


def test_chunk_gaps_are_pooled_and_hold_no_ttft() -> None:
    two = run(sample(), sample(1, chunks=[3.0, 3.1]))
    assert stats.itl(two) == pytest.approx([0.5, 0.5, 0.1])


def test_failed_requests_have_no_latency_but_are_counted() -> None:
    one = run(sample(), FAILED)
    assert len(stats.ttft(one)) == 1
    assert stats.failed(one) == [FAILED]
    assert stats.goodput(one, SLO()).of == 2


def test_throughput_counts_what_arrived_while_all_streams_were_busy() -> None:
    """Window 6 s: the first sample's 5 tokens, and one of three chunks of the second's 6 tokens."""
    one = run(sample(), sample(1, at=4.9, completion_tokens=6), full=6.0)
    assert stats.tokens_per_second(one) == pytest.approx((5 + 2) / 6.0)
    assert stats.requests_per_second(one) == pytest.approx(1 / 6.0)


def test_throughput_of_an_open_loop_is_over_the_whole_run() -> None:
    assert stats.tokens_per_second(run(sample(), sample(1, at=4.0), wall=10.0)) == pytest.approx(1.0)


def test_throughput_leaves_failed_requests_out() -> None:
    assert stats.tokens_per_second(run(FAILED, full=2.0)) == 0.0


def test_a_reply_without_chunks_adds_nothing() -> None:
    empty = sample(chunks=[], first=None, last=None, completion_tokens=0)
    assert stats.tokens_within(empty, 9.0) == 0.0
    assert stats.ttft(run(empty)).size == 0


def test_concurrency_is_the_mean_overlap() -> None:
    both = run(sample(), sample(1), full=2.25)
    assert stats.concurrency(both) == pytest.approx(2.0)
    half = run(sample(), sample(1, at=1.125), full=2.25)
    assert stats.concurrency(half) == pytest.approx(1.5)


def test_percentiles_interpolate_like_numpy() -> None:
    values = np.arange(200.0)
    for p in (1, 50, 90, 95, 99):
        assert stats.percentile(values, p) == pytest.approx(np.percentile(values, p))


@pytest.mark.parametrize(("p", "needed"), [(50, 1), (90, 10), (95, 20), (99, 100), (99.9, 1000)])
def test_a_percentile_is_only_given_where_the_sample_can_know_it(p: float, needed: int) -> None:
    assert stats.percentile(list(range(needed)), p) is not None
    if needed > 1:
        assert stats.percentile(list(range(needed - 1)), p) is None


def test_no_values_no_percentile() -> None:
    assert stats.percentile([], 50) is None


@pytest.mark.parametrize(
    ("slo", "met"),
    [
        (SLO(), True),
        (SLO(ttft_ms=1500), True),
        (SLO(ttft_ms=1499), False),
        (SLO(tpot_ms=250), True),
        (SLO(tpot_ms=249), False),
        (SLO(e2e_ms=2750), True),
        (SLO(e2e_ms=2749), False),
        (SLO(ttft_ms=5000, tpot_ms=249), False),
    ],
)
def test_every_limit_of_an_slo_must_hold(slo: SLO, met: bool) -> None:
    assert slo.met(sample(late=0.5)) is met


def test_an_slo_counts_the_wait_unless_told_not_to() -> None:
    assert SLO(ttft_ms=1200).met(sample(late=0.5), "sent")
    assert not SLO(ttft_ms=1200).met(sample(late=0.5))


def test_a_failed_request_meets_no_slo() -> None:
    assert not SLO().met(FAILED)


def test_goodput() -> None:
    mixed = run(sample(), sample(1, at=2.0, late=2.0), FAILED, full=8.0)
    kept = stats.goodput(mixed, SLO(ttft_ms=1100))
    assert (kept.requests, kept.of) == (1, 3)
    assert kept.share == pytest.approx(1 / 3)
    assert kept.requests_per_second == pytest.approx(1 / 8)
    assert kept.tokens_per_second == pytest.approx(5 / 8)


def test_goodput_without_limits_is_throughput() -> None:
    one = run(sample(), sample(1, at=4.9), full=6.0)
    assert stats.goodput(one, SLO()).tokens_per_second == pytest.approx(stats.tokens_per_second(one))


def test_a_spread_is_a_median_with_its_range() -> None:
    spread = stats.Spread.of([3.0, 1.0, 2.0])
    assert (spread.median, spread.low, spread.high, spread.n) == (2.0, 1.0, 3.0, 3)
    assert str(stats.Spread.of([914.6, 864.2, 990.0])) == "915 [864–990], n=3"
    assert str(stats.Spread.of([0.0571, 0.05, 0.0613])) == "0.0571 [0.0500–0.0613], n=3"


def test_an_slo_says_itself() -> None:
    assert str(SLO(ttft_ms=200, tpot_ms=50)) == "TTFT ≤ 200 ms, TPOT ≤ 50 ms"
