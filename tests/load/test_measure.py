"""`measure` against real servers: what it promises, and what it says when things go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter

import msgspec
import psutil
import pytest

from llmlab import machine
from llmlab.errors import LabError
from llmlab.load import Progress, closed, constant, describe, measure, poisson, schedule, trace
from llmlab.load import noise as noise_module
from llmlab.load.protocol import Done
from llmlab.load.target import Target
from llmlab.records import stats, store
from llmlab.records.schema import Sample
from llmlab.serve import Server, Spec

SMALL = {"prompt_tokens": 16, "max_tokens": 12}


def target_of(server: Server, **more: object) -> Target:
    kept = {"url": server.url, "info": server.info(), "api_key": server.key, "pid": server.pid}
    return Target(**(kept | more))


@pytest.fixture(scope="module")
def thousand(target):
    return measure(target, [closed(8, requests=1000, **SMALL)], lab="01")


def test_a_thousand_streamed_requests_without_a_failure(thousand) -> None:
    (run,) = thousand.runs
    assert len(run.samples) == 1000
    assert [s.error for s in stats.failed(run)] == []
    assert [s.n for s in run.samples] == list(range(1000))


def test_token_counts_are_the_servers_own(thousand) -> None:
    (run,) = thousand.runs
    assert run.counters is not None
    assert run.counters.agrees
    assert run.counters.prompt_tokens == 1000 * 16  # exact without a tokeniser, and nothing came from a cache
    assert run.counters.completion_tokens == 1000 * 12
    assert run.counters.cached_tokens == 0
    assert {(s.prompt_tokens, s.completion_tokens) for s in run.samples} == {(16, 12)}


def test_a_trace_with_lengths_of_its_own_is_answered_in_just_these(target) -> None:
    prompts, replies = [5, 200, 31], [17, 1, 40]
    (run,) = measure(target, [trace([0.1, 0.0, 0.05], each_prompt=prompts, each_reply=replies)]).runs
    assert [(s.prompt_tokens, s.completion_tokens) for s in run.samples] == [(200, 1), (31, 40), (5, 17)]
    assert (run.plan.each_prompt, run.plan.each_reply) == ([200, 31, 5], [1, 40, 17])
    assert run.counters is not None
    assert run.counters.agrees


def test_concurrency_is_kept_at_the_number_asked(thousand) -> None:
    """Whenever a request starts, before the last one has, exactly 8 are open: the new one and 7 others."""
    (run,) = thousand.runs
    spans = [(s.scheduled, s.end) for s in run.samples]
    for begin, _ in spans[8:]:
        assert sum(1 for a, b in spans if a <= begin < b) <= 8
    # In the middle of each request: 8 streams, of which one may just be between two requests (about 1 ms).
    overlap = [
        sum(1 for a, b in spans if a <= (s.scheduled + s.end) / 2 < b)
        for s in run.samples
        if s.end < run.full
    ]
    assert max(overlap) == 8
    assert sorted(overlap)[len(overlap) // 2] == 8
    assert 4 < stats.concurrency(run) <= 8


def test_times_are_in_order_and_inside_the_run(thousand) -> None:
    (run,) = thousand.runs
    for s in run.samples:
        assert 0 <= s.scheduled <= s.sent < s.first <= s.last <= s.end
        assert s.chunks == sorted(s.chunks)
        assert 1 <= len(s.chunks) <= s.completion_tokens
        assert s.finish == "length"
    assert 0 < run.full <= run.wall + 0.01
    assert run.wall == pytest.approx(max(s.end for s in run.samples), abs=0.05)


def test_the_record_carries_what_it_must(thousand, target) -> None:
    assert thousand.kind == "load"
    assert thousand.lab == "01"
    assert thousand.servers == [target.info]
    assert thousand.machine == machine.describe()
    assert {"python", "msgspec", "httptools"} <= set(thousand.versions)
    (run,) = thousand.runs
    assert 0 < run.noise.client_cpu < 1
    assert 0 < run.noise.server_cpu <= 1
    assert 0 <= run.noise.foreign_cpu <= 1
    assert 0 <= run.noise.lateness_p99 < 1
    assert run.peak_rss > 2**20
    assert store.loads(store.dumps(thousand)) == thousand


def test_the_servers_slots_are_all_busy_during_a_closed_loop(server, target) -> None:
    seen: list[tuple[int, int]] = []

    def look(event: Progress) -> None:
        if event.phase == "run":
            seen.append((event.concurrency, sum(slot["is_processing"] for slot in server.slots())))

    measure(target, [closed(4, requests=24, prompt_tokens=16, max_tokens=400)], on_event=look)
    assert seen
    middle = seen[:-1] or seen
    assert {open_ for open_, _ in middle} == {4}
    assert max(busy for _, busy in middle) == 4
    assert sorted(busy for _, busy in middle)[len(middle) // 2] == 4


def test_progress_is_told_as_it_goes(target) -> None:
    events: list[Progress] = []
    plans = [
        closed(2, requests=24, warmup=2, prompt_tokens=16, max_tokens=300),
        closed(1, requests=1, **SMALL),
    ]
    measure(target, plans, on_event=events.append)
    first = [e for e in events if e.run == 0 and e.phase == "run"]
    assert len(first) >= 2
    assert {e.runs for e in events} == {2}
    assert {e.total for e in first} == {24}
    assert [e.done for e in first] == sorted(e.done for e in first)
    assert first[-1].tokens > first[0].tokens > 0
    between = [b.elapsed - a.elapsed for a, b in pairwise(first)]
    assert sorted(between)[len(between) // 2] == pytest.approx(0.25, abs=0.1)


def test_the_warm_up_is_not_counted(target) -> None:
    record = measure(target, [closed(2, requests=2, warmup=20, **SMALL)])
    (run,) = record.runs
    assert len(run.samples) == 2
    assert run.counters.completion_tokens == 24


def test_rounds_alternate_and_have_prompts_of_their_own(target) -> None:
    plans = [
        closed(1, requests=2, **SMALL, cache_prompt=True),
        closed(2, requests=2, **SMALL, cache_prompt=True),
    ]
    record = measure(target, plans, repeats=2)
    assert [(r.plan.concurrency, r.repeat) for r in record.runs] == [(1, 0), (2, 0), (1, 1), (2, 1)]


def test_poisson_arrivals_leave_when_they_are_due(target) -> None:
    plan = poisson(60.0, requests=80, seed=3, **SMALL)
    (run,) = measure(target, [plan]).runs
    assert [s.scheduled for s in run.samples] == pytest.approx(schedule(plan), abs=1e-6)
    assert not stats.failed(run)
    late = stats.lateness(run)
    assert (late >= 0).all()
    assert stats.percentile(late, 50) < 0.005
    assert run.full is None
    assert run.counters.agrees


def test_a_constant_rate_is_reached(target) -> None:
    (run,) = measure(target, [constant(50.0, requests=50, **SMALL)]).runs
    due = [s.scheduled for s in run.samples]
    assert due == pytest.approx([i / 50 for i in range(50)], abs=1e-6)
    sent = [s.sent for s in run.samples]
    assert (sent[-1] - sent[0]) == pytest.approx(49 / 50, abs=0.05)


def test_a_queue_shows_in_latencies_from_the_schedule() -> None:
    """One slot, everything due at once: the open loop does not wait for the server, and says how long others did."""
    with Server(
        Spec(model="tiny", flags={"parallel": 1, "ctx-size": 1024, "threads": 1, "metrics": True})
    ) as one:
        (run,) = measure(target_of(one), [trace([0.0] * 20, prompt_tokens=16, max_tokens=100)]).runs
    assert not stats.failed(run)
    assert {s.scheduled for s in run.samples} == {0.0}
    first_end = min(s.end for s in run.samples)
    assert sum(s.sent < first_end for s in run.samples) >= 10  # it did not wait for replies
    # One slot works on one request at a time (by the server's own clock), so the last one waited for all.
    work = sum(s.prompt_ms + s.predicted_ms for s in run.samples) / 1000
    assert max(stats.e2e(run, "scheduled")) > 0.9 * work
    assert max(stats.ttft(run, "scheduled")) > 0.8 * work
    assert run.counters.agrees


def test_cached_prompts_are_told_from_computed_ones(target) -> None:
    """The same prompts again, cache on: the server reuses, usage and counters agree on how much."""
    plan = closed(1, requests=3, warmup=0, prompt_tokens=64, max_tokens=4, cache_prompt=True, seed=99)
    measure(target, [plan])
    (run,) = measure(target, [plan]).runs
    assert run.counters.agrees
    assert run.counters.cached_tokens > 100
    assert run.counters.cached_tokens + run.counters.prompt_tokens == 3 * 64
    assert sum(s.cached_tokens for s in run.samples) == run.counters.cached_tokens
    assert {s.prompt_tokens for s in run.samples} == {64}


def test_chat(target) -> None:
    (run,) = measure(target, [closed(2, requests=6, api="chat", prompt_tokens=12, max_tokens=9)]).runs
    assert not stats.failed(run)
    assert {s.completion_tokens for s in run.samples} == {9}
    assert run.counters.agrees


def test_a_key_is_sent_and_a_wrong_one_is_an_error_of_each_request() -> None:
    spec = Spec(
        model="tiny", flags={"parallel": 1, "threads": 1, "metrics": True}, env={"LLAMA_API_KEY": "sesame"}
    )
    with Server(spec) as locked:
        (good,) = measure(target_of(locked), [closed(1, requests=2, **SMALL)]).runs
        (bad,) = measure(target_of(locked, api_key="wrong"), [closed(1, requests=2, **SMALL)]).runs
    assert not stats.failed(good)
    assert good.counters.agrees
    assert {s.error for s in bad.samples} == {"HTTP 401: authentication_error: Invalid API Key"}
    assert bad.counters is None


def test_a_server_without_metrics_has_no_counters() -> None:
    with Server(Spec(model="tiny", flags={"parallel": 1, "threads": 1})) as quiet:
        (run,) = measure(target_of(quiet), [closed(1, requests=2, **SMALL)]).runs
    assert not stats.failed(run)
    assert run.counters is None


def test_a_prompt_too_long_for_its_slot_is_in_the_servers_words(target) -> None:
    (run,) = measure(target, [closed(2, requests=4, prompt_tokens=2000)]).runs
    assert len(stats.failed(run)) == 4
    assert run.samples[0].status == 400
    assert "exceed" in run.samples[0].error


def test_a_server_killed_in_the_middle_ends_the_run_quickly() -> None:
    with Server(Spec(model="tiny", flags={"parallel": 4, "threads": 1, "metrics": True})) as doomed:
        at: list[float] = []

        def kill(event: Progress) -> None:
            if event.phase == "run" and not at and event.tokens:
                at.append(perf_counter())
                os.kill(doomed.pid, signal.SIGKILL)

        plan = closed(4, requests=400, prompt_tokens=16, max_tokens=300, timeout=60)
        (run,) = measure(target_of(doomed), [plan], on_event=kill).runs
        took = perf_counter() - at[0]
    assert took < 5
    assert len(run.samples) == 400
    failed = stats.failed(run)
    assert len(failed) >= 4
    assert all(s.error for s in failed)
    assert any("cannot connect" in s.error for s in failed)
    assert run.counters is None
    assert run.noise.server_cpu is not None


def test_nobody_there_is_an_error_of_each_request(target) -> None:
    gone = Target(url="http://127.0.0.1:9", info=target.info)
    (run,) = measure(gone, [closed(2, requests=6, **SMALL)]).runs
    assert len(stats.failed(run)) == 6
    assert "cannot connect" in run.samples[0].error
    assert run.noise.foreign_cpu is None
    assert stats.tokens_per_second(run) == 0


def test_a_timeout_is_an_error_and_the_server_is_let_go(target) -> None:
    plan = closed(2, requests=4, warmup=0, prompt_tokens=16, max_tokens=1000, timeout=0.05)
    (run,) = measure(target, [plan]).runs
    assert len(stats.failed(run)) == 4
    assert "timeout" in run.samples[0].error
    (after,) = measure(target, [closed(8, requests=16, **SMALL)]).runs
    assert not stats.failed(after)
    assert after.counters.agrees


def test_it_can_be_stopped_by_event_and_by_an_exception(target) -> None:
    endless = closed(2, requests=100_000, prompt_tokens=4, max_tokens=500)
    cancel = threading.Event()
    before = {p.pid for p in psutil.Process().children(recursive=True)}
    with pytest.raises(LabError, match="stopped"):
        measure(target, [endless], cancel=cancel, on_event=lambda _: cancel.set())

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(target, [endless], on_event=interrupt)
    assert {p.pid for p in psutil.Process().children(recursive=True)} <= before


def test_nothing_to_measure(target) -> None:
    with pytest.raises(LabError, match="nothing to measure"):
        measure(target, [])


FIREHOSE = """
import asyncio, sys
together = int(sys.argv[1])  # nobody is answered before so many have asked
asked, all_there = 0, asyncio.Event()
event = b'data: {"choices":[{"text":" word","index":0,"logprobs":null,"finish_reason":null}],"id":"x"}\\n\\n'
piece = b"%x\\r\\n%s\\r\\n" % (len(event), event)
last = b'data: {"choices":[{"text":"","finish_reason":"length"}]}\\n\\ndata: [DONE]\\n\\n'
head = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n"
reply = head + piece * 20_000 + b"%x\\r\\n%s\\r\\n0\\r\\n\\r\\n" % (len(last), last)
async def serve(reader, writer):
    global asked
    request = await reader.readuntil(b"\\r\\n\\r\\n")
    if request.startswith(b"POST"):
        asked += 1
        if asked >= together:
            all_there.set()
        await all_there.wait()
        writer.write(reply)
        await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextmanager
def firehose(target: Target, *, together: int = 1) -> Iterator[Target]:
    """A stand-in that sends prepared bytes, which costs nothing: all the time is the client's."""
    command = [sys.executable, "-c", FIREHOSE, str(together)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as hose:
        try:
            url = f"http://127.0.0.1:{hose.stdout.readline().strip()}"
            yield Target(url=url, info=target.info, pid=hose.pid)
        finally:
            hose.kill()


def test_a_server_faster_than_the_client_makes_the_client_the_limit(target) -> None:
    with firehose(target) as fast:
        (run,) = measure(fast, [closed(8, requests=24, warmup=0)]).runs
    assert not stats.failed(run)
    assert {s.counted_by for s in run.samples} == {"chunks"}
    assert run.noise.client_limited
    assert "client" in run.noise.reason


def test_an_open_loop_that_reads_late_says_so_though_every_request_left_in_time(target) -> None:
    """No reply comes before the last request has left, so only reading can be late."""
    plan = trace([0.0] * 24, warmup=0)
    with firehose(target, together=24) as fast:
        (run,) = measure(fast, [plan]).runs
    assert not stats.failed(run)
    assert run.noise.lateness_p99 > noise_module.CLIENT_LATE
    assert run.noise.lateness_p99 > max(stats.lateness(run))
    assert run.noise.client_limited
    assert "event loop ran" in run.noise.reason


def judged(
    *,
    cpu: float = 0.1,
    spun: float = 0.0,
    late: float = 0.001,
    left: float = 0.0,
    foreign: float | None = 0.01,
    plan=None,
    chunks: list[float] | None = None,
    busiest: float | None = None,
):
    """`late`: the event loop, p99; `left`: every request, after it was due. Seconds."""
    samples = [Sample(n=n, scheduled=n, sent=n + left, chunks=chunks or []) for n in range(200)]
    done = Done(
        samples=samples,
        wall=1.0,
        full=1.0,
        cpu=cpu,
        spun=spun,
        lateness_p99=late,
        busiest=busiest,
        workers=2 if busiest else 1,
    )
    return noise_module.judge(plan or closed(1), done, machine.Shares(foreign=foreign, server=0.5))


def test_when_the_client_was_the_limit() -> None:
    assert not judged().client_limited
    assert judged().reason is None
    assert "90%" in judged(cpu=0.9).reason
    assert judged(cpu=0.9).client_limited
    assert not judged(cpu=0.9, spun=0.4).client_limited  # it only waited precisely
    assert judged(cpu=0.9, spun=0.4).client_cpu == 0.9


def test_of_several_clients_the_busiest_is_the_limit() -> None:
    assert not judged(cpu=1.2, busiest=0.6).client_limited
    assert judged(cpu=1.2, busiest=0.6).client_cpu == 1.2
    assert judged(cpu=1.2, busiest=0.9).reason == "the load client used 90% of a core"
    assert judged(cpu=1.2, busiest=0.9).client_processes == 2


def test_chunks_that_piled_up_at_a_late_client_make_it_the_limit() -> None:
    piled = [
        0.0,
        0.004,
        0.004,
        0.008,
        0.008,
    ]  # 2 ms from one to the next, half of them read with the one before
    apart = [0.0, 0.002, 0.004, 0.006, 0.008]
    late = judged(chunks=piled, late=0.003)
    assert (late.client_limited, late.piled) == (True, 0.5)
    assert late.reason is not None
    assert late.reason.startswith("50% of the chunks were read together")
    assert not judged(chunks=piled, late=0.001).client_limited  # they came so, from a door that buffers
    assert not judged(chunks=apart, late=0.003).client_limited
    assert judged(chunks=apart, late=0.003).piled == 0.0
    assert not judged(late=0.003).client_limited  # no chunks, no gap


@pytest.mark.parametrize("plan", [closed(1), poisson(1), constant(1), trace([0.0])], ids=describe)
def test_a_late_event_loop_is_late_in_any_loop(plan) -> None:
    late = judged(late=0.05, plan=plan)
    assert late.client_limited
    assert late.lateness_p99 == 0.05
    assert late.reason == "the client's event loop ran 50 ms late (p99)"


def test_requests_that_leave_late_count_where_there_is_a_schedule() -> None:
    late = judged(left=0.05, plan=poisson(1))
    assert late.client_limited
    assert late.lateness_p99 == pytest.approx(0.05)
    assert late.reason == "the client's requests ran 50 ms late (p99)"
    # A closed loop sends when a stream comes free: what follows is connecting, and that is the server's.
    assert not judged(left=0.05).client_limited
    assert judged(left=0.05).lateness_p99 == 0.001


def test_when_a_run_is_noisy() -> None:
    assert not judged(foreign=0.1).noisy
    assert judged(foreign=0.3).noisy
    assert "30%" in judged(foreign=0.3).reason
    assert not judged(foreign=None).noisy
    assert judged(foreign=None).foreign_cpu is None


def test_foreign_load_is_seen_and_marked(target) -> None:
    """Busy loops on every core beside the server: the run says so itself."""
    burn = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(burn) for _ in range(machine.cpus_allowed())]
    try:
        (run,) = measure(target, [closed(4, requests=100, prompt_tokens=16, max_tokens=60)]).runs
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert run.noise.noisy
    assert run.noise.foreign_cpu > noise_module.FOREIGN
    assert not stats.failed(run)


def test_plans_and_records_are_plain_documents() -> None:
    plan = poisson(2.0, seed=4)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=type(plan)) == plan
