"""Several load clients with one plan: nothing is sent twice, and their times have one zero."""

from __future__ import annotations

import pytest

from llmlab.errors import LabError
from llmlab.load import closed, constant, measure, schedule, sessions
from llmlab.load.crew import Crew, merged
from llmlab.load.protocol import Done, Order, Setup, Tick
from llmlab.records import stats
from llmlab.records.schema import Sample

SMALL = {"prompt_tokens": 16, "max_tokens": 12}


def test_two_share_a_closed_loop(target) -> None:
    (run,) = measure(target, [closed(5, requests=200, **SMALL)], clients=2).runs
    assert [s.error for s in stats.failed(run)] == []
    assert [s.n for s in run.samples] == list(range(200))
    assert run.counters is not None
    assert run.counters.agrees
    assert run.noise.client_processes == 2
    spans = [(s.sent, s.end) for s in run.samples]
    assert max(sum(a <= (begin + end) / 2 < b for a, b in spans) for begin, end in spans) == 5


def test_two_send_what_is_due_when_it_is_due(target) -> None:
    plan = constant(50.0, requests=40, **SMALL)
    (run,) = measure(target, [plan], clients=2).runs
    assert [s.n for s in run.samples] == list(range(40))
    assert [s.scheduled for s in run.samples] == pytest.approx(schedule(plan), abs=1e-6)
    assert (stats.lateness(run) >= 0).all()
    assert stats.percentile(stats.lateness(run), 50) < 0.01


def test_two_share_out_conversations(target) -> None:
    plan = sessions(3, sessions=5, turns=2, think=0.01, prompt_tokens=8, max_tokens=4, warmup=0)
    (run,) = measure(target, [plan], clients=2).runs
    assert [s.error for s in stats.failed(run)] == []
    assert [(s.session, s.turn) for s in run.samples] == [(n // 2, n % 2) for n in range(10)]


def test_no_more_than_there_are_streams(target) -> None:
    (run,) = measure(target, [closed(1, requests=3, **SMALL)], clients=4).runs
    assert run.noise.client_processes == 1
    assert len(run.samples) == 3


def test_what_they_say_of_how_it_goes_is_added_up(target) -> None:
    ticks: list[Tick] = []
    with Crew(Setup(url=target.url, vocab=400)) as crew:
        order = Order(plan=closed(4, requests=12, prompt_tokens=16, max_tokens=400), warmup=False)
        crew.carry_out(order, ticks.append, count=2)
    assert max(tick.open for tick in ticks) == 4


def test_one_that_dies_ends_it(target) -> None:
    with Crew(Setup(url=target.url, vocab=400)) as crew, pytest.raises(LabError, match="ended with code -9"):
        crew.carry_out(
            Order(plan=closed(2, requests=10_000, max_tokens=200), warmup=False),
            lambda _: crew._workers[1]._child.kill(),
            count=2,
        )


def part(*numbers: int, cpu: float, spun: float, full: float | None) -> Done:
    samples = [Sample(n=n, scheduled=n, sent=n + 0.5, end=n + 2.0) for n in numbers]
    return Done(samples=samples, wall=9.0, full=full, cpu=cpu, spun=spun, lateness_p99=cpu / 100)


def test_merged() -> None:
    whole = merged([part(0, 2, cpu=0.5, spun=0.0, full=2.0), part(1, 3, cpu=0.6, spun=0.3, full=1.0)])
    assert [sample.n for sample in whole.samples] == [0, 1, 2, 3]
    assert (whole.wall, whole.full, whole.workers) == (4.5, 1.0, 2)
    assert (whole.cpu, whole.spun, whole.busiest, whole.lateness_p99) == (1.1, 0.3, 0.5, 0.006)
