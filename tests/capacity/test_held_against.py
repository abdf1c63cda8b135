"""The table of errors: right where both are the same, and loud where they are not."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from llmlab.capacity.held_against import Pair, beyond, held_against
from llmlab.capacity.outcome import Became, Forecast, Totals
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.trace import compressed, day, plan
from llmlab.errors import LabError
from llmlab.records.stats import SLO

from . import iterations
from .made import NOISY, record, run

SPEEDS = Speeds(
    prefill=1800.0, step=(0.0026, 0.0041, 0.0052, 0.0061), overhead=0.004, attend=8e-6, square=3e-7
)
SLOWER = msgspec.structs.replace(SPEEDS, prefill=1200.0, square=5e-7)
LIMITS = SLO(ttft_ms=500, e2e_ms=2000)
TRACE = compressed(day(3), 120, speeds=SPEEDS, load=0.6)


def simulated(speeds, trace=TRACE) -> Forecast:
    ttft, e2e = iterations.times(iterations.replay(trace, speeds, 1))
    many, zero = len(trace), {field: 0 for field in Totals.__struct_fields__}
    return Forecast(
        trace=trace, ttft_s=ttft, e2e_s=e2e, server=np.zeros(many, int), started=trace.arrival_s,
        status=np.full(many, Became.SERVED, np.int8), totals=Totals(**zero | {"end_s": float((trace.arrival_s + e2e).max())}),
    )  # fmt: skip


@pytest.fixture(scope="module")
def real():
    return record([run(plan(TRACE), SPEEDS, repeat=repeat) for repeat in range(3)])


def test_the_same_model_has_no_error(real) -> None:
    table = held_against([Pair(servers=1, record=real, simulated=simulated(SPEEDS))], LIMITS)
    figures = [row["figure"] for row in table.dicts()]
    assert figures == ["TTFT p50", "TTFT p95", "TTFT p99", "E2E p50", "E2E p95", "E2E p99", "goodput"]
    assert [row["error"] for row in table.dicts()] == pytest.approx([0.0] * 7, abs=1e-3)
    assert beyond(table) == []


def test_what_is_too_far_off_is_named_with_its_error(real) -> None:
    table = held_against([Pair(servers=2, record=real, simulated=simulated(SLOWER))], LIMITS)
    by_name = {row["figure"]: row for row in table.dicts()}
    assert by_name["TTFT p50"]["error"] > 0.15
    assert by_name["goodput"]["error"] < 0
    assert f"2 servers, TTFT p50: {by_name['TTFT p50']['error']:+.0%}".replace("%", " %") in beyond(table)
    assert all(row["beyond"] == (abs(row["error"]) > 0.15) for row in table.dicts())


def test_few_requests_have_no_p99_and_that_is_said() -> None:
    few = TRACE.only(np.arange(25))
    table = held_against(
        [Pair(servers=1, record=record([run(plan(few), SPEEDS)]), simulated=simulated(SPEEDS, few))], LIMITS
    )
    assert [row["error"] for row in table.dicts() if "p99" in row["figure"]] == [None, None]
    assert "1 server, TTFT p99: cannot be compared" in beyond(table)


def test_rounds_are_a_range_and_noisy_ones_are_counted(real) -> None:
    runs = [*real.runs, run(plan(TRACE), SLOWER, repeat=3, noise=NOISY)]
    (row, *_) = held_against(
        [Pair(servers=1, record=record(runs), simulated=simulated(SPEEDS))], LIMITS
    ).dicts()
    assert row["low"] <= row["real"] < row["high"]
    assert (row["rounds"], row["noisy"]) == (4, 1)


def test_another_trace_is_refused(real) -> None:
    other = dataclasses.replace(TRACE, output_tokens=TRACE.output_tokens + 1)
    with pytest.raises(LabError, match="another trace"):
        held_against([Pair(servers=1, record=real, simulated=simulated(SPEEDS, other))], LIMITS)
    with pytest.raises(LabError, match="no replay"):
        held_against([], LIMITS)
