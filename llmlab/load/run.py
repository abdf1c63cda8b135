"""Measure a server: plans in, a record out."""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic

from .. import machine
from ..errors import LabError
from ..records.schema import Counters, Noise, Plan, Record, Run, Sample, Throttle
from ..system import owned
from . import metrics, turn
from .process import Worker
from .protocol import Done, Order, Setup, Tick
from .target import Progress, Target

#: Above this share of one core the client may be what limits: at 0.85 an event loop's queue is already as
#: long as six turns (1 / (1 - 0.85)), so its timestamps wait as long as its work.
CLIENT_BUSY = 0.85
#: Seconds of p99 lateness above which timestamps are doubted: a few scheduler slices (Linux: 3 ms on a few
#: cores), a tenth of the 200 ms TTFT that readers notice. Quiet machines show 1 to 3 ms.
CLIENT_LATE = 0.020
#: Share of the machine taken by others above which a run is noisy. One busy loop is 0.5 of two cores, 0.25 of
#: four, 0.125 of eight: it halves a server that uses every core of a small machine, and fits beside `threads
#: = cores - 1` on a larger one. Below 0.04 repeated runs agree (`shared/facts/load-testing.md`, 5c).
FOREIGN = 0.15

QUIET = 10.0  # seconds a server may take to finish what the warm-up left (cancelled requests)


def measure(
    target: Target,
    plans: Sequence[Plan],
    *,
    repeats: int = 1,
    on_event: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    lab: str | None = None,
    note: str | None = None,
    label: str | None = None,
) -> Record:
    """Run every plan in turn, `repeats` times over in alternating rounds, and return what came of it.

    Failed requests are samples with an `error`; they never end a run. `on_event` is called about four times a
    second in this thread; `cancel` (set from another thread) or Ctrl-C stops at once.

    :raises LabError: nothing to do, cancelled, or the client itself failed.
    """
    if not plans:
        raise LabError("There is nothing to measure.", fix="measure(target, [closed(4)])")
    created = _now()
    order = [(repeat, plan) for repeat in range(repeats) for plan in plans]
    runs: list[Run] = []
    with turn.take(), Worker(setup(target), cancel=cancel) as worker:
        for number, (repeat, plan) in enumerate(order):
            measurement = _Measurement(target, worker, plan, repeat, on_event, number, len(order), label)
            runs.append(measurement.carry_out())
    return Record(
        kind="load",
        created=created,
        machine=machine.describe(),
        servers=[target.info],
        runs=runs,
        versions=versions(),
        lab=lab,
        seed=plans[0].seed,
        note=note,
    )


def setup(target: Target) -> Setup:
    """What a load client is told of a server first."""
    return Setup(
        url=target.url,
        api_key=target.api_key,
        host=target.host,
        authority=target.authority,
        session_header=target.session_header,
        model=target.model,
        vocab=metrics.vocabulary(target),
    )


def versions() -> dict[str, str]:
    """Of what took part in a measurement."""
    found = {"python": platform.python_version()}
    for name in ("llmlab", "msgspec", "httptools", "psutil", "uvloop"):
        with contextlib.suppress(Exception):
            found[name] = version(name)
    return found


class _Measurement:
    """One plan against one server: warm up, let it drain, count, run, count again."""

    def __init__(
        self,
        target: Target,
        worker: Worker,
        plan: Plan,
        repeat: int,
        on_event: Callable[[Progress], None] | None,
        number: int,
        runs: int,
        label: str | None,
    ) -> None:
        self.target, self.worker, self.plan, self.repeat = target, worker, plan, repeat
        self.on_event, self.number, self.runs, self.label = on_event, number, runs, label
        self.meter = machine.NoiseMeter(target.pid)

    def carry_out(self) -> Run:
        if self.plan.warmup:
            self._order(warmup=True)
        before, throttled = self._count(), self._throttle()
        started = _now()
        self.meter.start()
        done = self._order(warmup=False)
        shares = self.meter.stop(done.cpu)
        after = self._count()
        return Run(
            server=0,
            plan=self.plan,
            samples=done.samples,
            started=started,
            wall=done.wall,
            full=done.full,
            noise=_judge(self.plan, done, shares),
            repeat=self.repeat,
            counters=_counters(before, after, done.samples),
            throttle=_since(throttled, self._throttle()),
            peak_rss=self.meter.peak_rss,
            label=self.label,
        )

    def _order(self, *, warmup: bool) -> Done:
        total = self.plan.warmup if warmup else self.plan.requests

        def tick(event: Tick) -> None:
            self.meter.tick()
            if self.on_event is not None:
                self.on_event(
                    Progress(
                        phase="warm-up" if warmup else "run",
                        run=self.number,
                        runs=self.runs,
                        plan=self.plan,
                        done=event.done,
                        total=total,
                        failed=event.failed,
                        tokens=event.tokens,
                        tokens_per_second=event.rate,
                        concurrency=event.open,
                        elapsed=event.elapsed,
                    )
                )

        return self.worker.carry_out(Order(plan=self.plan, warmup=warmup, repeat=self.repeat), tick)

    def _count(self) -> metrics.Count | None:
        """The server's counters once it works on nothing; None when it does not say or come to rest."""
        deadline = monotonic() + QUIET
        while True:
            now = metrics.count(self.target)
            if now is None or not now.busy:
                return now
            if monotonic() > deadline or self.worker.pause(0.02):
                return None

    def _throttle(self) -> Throttle | None:
        return self.target.throttle() if self.target.throttle is not None else None


def _counters(
    before: metrics.Count | None, after: metrics.Count | None, samples: list[Sample]
) -> Counters | None:
    if before is None or after is None:
        return None
    prompt, cached = after.prompt - before.prompt, after.cached - before.cached
    completion = after.completion - before.completion
    usage = (sum(s.prompt_tokens for s in samples), sum(s.completion_tokens for s in samples))
    return Counters(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        # Usage counts reused prompt tokens as prompt; the server's counter has them apart.
        agrees=(prompt + cached, completion) == usage,
    )


def _since(before: Throttle | None, after: Throttle | None) -> Throttle | None:
    if before is None or after is None:
        return None
    return Throttle(
        periods=after.periods - before.periods,
        throttled=after.throttled - before.throttled,
        throttled_seconds=after.throttled_seconds - before.throttled_seconds,
    )


def _judge(plan: Plan, done: Done, shares: machine.Shares) -> Noise:
    busy = done.cpu / done.wall
    reasons = []
    # Waiting precisely for an arrival is CPU taken from the machine, but it is given up as soon as a reply
    # comes.
    working = max(0.0, done.cpu - done.spun) / done.wall
    if working > CLIENT_BUSY:
        reasons.append(f"the load client used {working:.0%} of a core")
    # Two clocks can run late. The event loop's makes every arrival late, in any loop; an open loop's requests
    # may besides leave late. A request that left in time says nothing of when its reply was read.
    late = {"event loop": done.lateness_p99, "requests": _dispatch(plan, done.samples)}
    for what, seconds in late.items():
        if seconds > CLIENT_LATE:
            reasons.append(f"the client's {what} ran {seconds * 1000:.0f} ms late (p99)")
    limited = bool(reasons)
    noisy = shares.foreign is not None and shares.foreign > FOREIGN
    if noisy:
        reasons.append(f"other programs took {shares.foreign:.0%} of the machine's CPU{_neighbours()}")
    return Noise(
        foreign_cpu=shares.foreign,
        server_cpu=shares.server,
        client_cpu=busy,
        lateness_p99=max(late.values()),
        client_limited=limited,
        noisy=noisy,
        reason="; ".join(reasons) or None,
    )


def _neighbours() -> str:
    """Other servers of this user that another notebook or grader runs meanwhile, for the sentence on noise."""
    found = [
        entry.label
        for entry in owned.entries()
        if entry.owner_alive
        and entry.data["owner"]["pid"] != os.getpid()
        and entry.label.startswith("llama-server")
    ]
    return f" (running beside this: {', '.join(found)}, of another notebook or check)" if found else ""


def _dispatch(plan: Plan, samples: list[Sample]) -> float:
    """p99 of how late requests left that were due at a time; a closed loop has no schedule to be late for."""
    ranked = sorted(s.sent - s.scheduled for s in samples)
    return ranked[int(0.99 * len(ranked))] if ranked and plan.pattern != "closed" else 0.0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


__all__ = ["CLIENT_BUSY", "CLIENT_LATE", "FOREIGN", "measure", "setup", "versions"]
