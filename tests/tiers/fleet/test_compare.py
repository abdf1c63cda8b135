"""Real servers held against simulated ones at several numbers of them: the rows of the tables, and the whole of it once, in short."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from llmlab.capacity import trace as days
from llmlab.capacity.fleet import Replicas
from llmlab.capacity.plan import Promise
from llmlab.capacity.simulate import simulate
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.stairs import STEPS, Staircase
from llmlab.capacity.trace import Trace
from llmlab.errors import LabError
from llmlab.records import store
from llmlab.records.schema import Machine, Noise, Record, Run, Sample, Table
from llmlab.tiers.fleet import figures
from llmlab.tiers.fleet.compare import (
    ERRORS,
    LARGEST,
    Comparison,
    compare,
    error_rows,
    largest_rows,
    said,
)
from llmlab.tiers.fleet.measured import measured_points

PROMISE = Promise(ttft_s=2.0, e2e_s=10.0, share=0.9, recovery_s=5.0)
SPEEDS = Speeds(prefill=1000.0, step=(0.01,))
MACHINE = Machine(cpu="made", cores=2, memory=1, system="s", python="3", llmlab="0", profile="laptop")
NOISE = Noise(
    foreign_cpu=0.02, server_cpu=0.5, client_cpu=0.1, lateness_p99=0.001, client_limited=False, noisy=False
)


def run(trace, forecast, slower: float, repeat: int) -> Run:
    """What was simulated, as if it had been measured, all of it so many times as slow."""
    samples = [
        Sample(
            n=number, scheduled=at, sent=at, first=at + slower * ttft, last=at + slower * e2e, end=at + slower * e2e,
            completion_tokens=int(tokens), status=200,
        )
        for number, (at, ttft, e2e, tokens) in enumerate(
            zip(trace.arrival_s.tolist(), forecast.ttft_s, forecast.e2e_s, trace.output_tokens, strict=True)
        )
    ]  # fmt: skip
    wall = max(sample.end for sample in samples)
    plan = days.plan(trace)
    return Run(server=0, plan=plan, samples=samples, started="now", wall=wall, full=None, noise=NOISE, repeat=repeat)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> list[Comparison]:
    """One server that has ten requests a second more on each stair, twice: as simulated, and 10 % slower."""
    each = [np.sort(np.random.default_rng(number).uniform(0, 25, 250 * (number + 1))) for number in range(4)]
    arrival = np.concatenate([25 * number + times for number, times in enumerate(each)])
    trace = Trace(arrival, np.full(len(arrival), 8), np.full(len(arrival), 4))
    stairs = Staircase(trace, (0.4, 0.8, 1.2, 1.6), 25.0)
    forecast = simulate(trace, SPEEDS, Replicas())
    runs = [run(trace, forecast, slower, repeat) for repeat, slower in enumerate((1.0, 1.1))]
    record = Record(
        kind="load", created="now", machine=MACHINE, servers=[], runs=runs, versions={}, lab="14-capstone"
    )
    return [
        Comparison(
            servers=1, calibration=record, speeds=SPEEDS, stairs=stairs, record=record, simulated=forecast, promise=PROMISE
        )
    ]  # fmt: skip


def test_each_repetition_has_its_own_errors_and_what_others_took(found):
    rows = [dict(zip(ERRORS, row, strict=True)) for row in error_rows(found)]
    assert [row["repeat"] for row in rows] == [0] * 7 + [1] * 7
    latencies = [row["error"] for row in rows if row["measure"] != "goodput"]
    assert latencies == pytest.approx([0.0] * 6 + [1 / 1.1 - 1] * 6)
    assert {row["foreign"] for row in rows} == {0.02}
    table = Table(
        kind="errors", created="now", machine=MACHINE, columns=ERRORS, rows=error_rows(found), versions={}
    )
    assert figures.errors(table).data["n"] == 14


def test_the_largest_load_lies_between_two_stairs(found, tmp_path):
    rows = [dict(zip(LARGEST, row, strict=True)) for row in largest_rows(found, (0.9, 0.99))]
    for row in rows:
        assert (row["servers"], row["repeats"], row["ttft_s"]) == (1, 2, 2.0)
        assert row["low"] == 0.8, "20 requests a second, of 26"
        assert row["high"] == 1.2
        assert row["low"] <= row["load"] <= row["simulated"] <= row["high"]
    table = Table(
        kind="largest", created="now", machine=MACHINE, columns=LARGEST, rows=largest_rows(found, (0.9,)), versions={}
    )  # fmt: skip
    store.write(table, tmp_path / "20261130T1-largest.json")
    (point,) = measured_points(tmp_path, PROMISE)
    assert (point.servers, point.low, point.high) == (2, 0.8, 1.2), "with one of them spare"
    assert measured_points(tmp_path, msgspec.structs.replace(PROMISE, ttft_s=1.0)) == []


def test_the_lines_have_the_range_of_the_repetitions_and_the_foreign_share(found):
    lines = said(found)
    assert len(lines) == 8
    assert all(line.endswith("2% to 2%") for line in lines[1:])
    assert "-5%" in lines[1], "1 / 1.05 - 1: the median of both"


def test_what_cannot_be_compared_is_refused_before_anything_starts(plan):
    for servers, repeats in (((), 1), ((0, 1), 1), ((9,), 1), ((1,), 0)):
        with pytest.raises(LabError, match="cannot be compared"):
            next(compare(plan(), servers=servers, repeats=repeats))


@pytest.mark.needs("process", "regions")
def test_two_servers_and_one_in_short(plan):
    seen = list(compare(plan(slots=1, check_s=0.3, max_queue=4), servers=(1, 2), seconds=16.0))
    assert [each.servers for each in seen] == [2, 1]
    for each in seen:
        (replayed,) = each.record.runs
        assert len(replayed.samples) == len(each.stairs.trace) == len(each.simulated.ttft_s)
        assert {sample.status for sample in replayed.samples} <= {200, 429, 503}, "nobody was cut off"
        assert replayed.noise.foreign_cpu is not None, "all processes of the fleet are known"
        assert len(each.real_shares()[0]) == len(each.simulated_shares()) == len(STEPS)
    assert len(error_rows(seen)) == 14
