"""Our samples in other tools' words, each against numbers worked out by hand from their formulas."""

from __future__ import annotations

import pytest
from plays import run, sample

from llmlab.records import stats
from llmlab.records.peers import as_aiperf, as_guidellm, as_inference_perf, as_vllm, goodput_as_peers
from llmlab.records.stats import SLO

#: Due at 0, left at 0.5; content 1.0, 1.5 and 2.0 after that, complete at 2.25; 5 tokens in 3 chunks.
LATE = sample(late=0.5)
TWO = run(LATE, sample(1, at=3.0), wall=10.0)


def test_all_count_from_when_it_left_and_only_ours_can_count_from_when_it_was_due():
    for told in (as_vllm(TWO), as_aiperf(TWO), as_guidellm(TWO), as_inference_perf(TWO)):
        assert told.ttft == pytest.approx([1.0, 1.0]), told.tool
    assert stats.ttft(TWO, since="scheduled") == pytest.approx([1.5, 1.0])


def test_time_per_output_token():
    assert as_vllm(TWO).tpot == pytest.approx(stats.tpot(TWO))  # (2 - 1) / (5 - 1)
    assert as_inference_perf(TWO).tpot == pytest.approx(stats.tpot(TWO))
    assert as_guidellm(TWO).tpot == pytest.approx(
        [2.0 / 5, 2.0 / 5]
    )  # the first token and its wait are in it
    assert as_aiperf(TWO).tpot.size == 0


def test_inter_token_latency_is_a_mean_of_a_request_or_the_gaps_between_chunks():
    assert as_aiperf(TWO).itl == pytest.approx([0.25, 0.25])
    assert as_guidellm(TWO).itl == pytest.approx([0.25, 0.25])
    assert as_vllm(TWO).itl == pytest.approx([0.5] * 4)
    assert as_inference_perf(TWO).itl == pytest.approx(stats.itl(TWO))


def test_latency_ends_with_the_last_text_or_with_the_reply():
    assert as_vllm(TWO).latency == pytest.approx([2.0, 2.0])
    assert as_aiperf(TWO).latency == pytest.approx([2.0, 2.0])
    assert as_guidellm(TWO).latency == pytest.approx([2.25, 2.25])
    assert as_inference_perf(TWO).latency == pytest.approx(stats.e2e(TWO))


def test_rates_are_over_the_whole_run_and_ours_over_the_window_in_which_all_streams_were_busy():
    closed = run(sample(), sample(1, at=3.0), wall=10.0, full=4.0)
    assert as_vllm(closed).tokens_per_second == pytest.approx(10 / 10)
    assert as_guidellm(closed).tokens_per_second == pytest.approx(10 / 10)
    assert as_aiperf(closed).tokens_per_second == pytest.approx(10 / 5.0)  # 0 to the last content, at 5.0
    assert as_inference_perf(closed).requests_per_second == pytest.approx(2 / 5.25)  # to the last end
    assert stats.tokens_per_second(closed) == pytest.approx((5 + 5 / 3) / 4)  # one chunk of the second by 4.0


def test_a_failed_request_counts_nowhere_but_in_inference_perfs_window():
    cut = run(sample(), sample(1, at=8.0, error="cut", end=None), wall=10.0)
    assert as_vllm(cut).ttft.size == 1
    assert as_inference_perf(cut).seconds == pytest.approx(8.0)
    assert as_aiperf(cut).seconds == pytest.approx(2.0)


def test_goodput_counts_from_sending():
    slo = SLO(ttft_ms=1200)
    assert stats.goodput(TWO, slo).requests == 1  # the late one waited 1.5 s
    assert goodput_as_peers(TWO, slo) == pytest.approx(2 / 10)


def test_of_a_run_without_replies_there_is_nothing_to_say():
    told = as_aiperf(run(sample(error="refused", end=None)))
    assert (told.ttft.size, told.tokens_per_second) == (0, 0.0)
