"""Measure a server: plans in, a record out."""

from __future__ import annotations

import contextlib
import platform
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from time import monotonic

from .. import machine
from ..errors import LabError
from ..records.schema import Counters, Plan, Record, Run, Sample, Throttle
from . import metrics, turn
from .crew import Crew
from .noise import judge, too_busy
from .protocol import Done, Order, Setup, Tick
from .target import Progress, Target

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
    clients: int | None = None,
) -> Record:
    """Run every plan in turn, `repeats` times over in alternating rounds, and return what came of it.

    Failed requests are samples with an `error`; they never end a run. `on_event` is called about four times a
    second in this thread; `cancel` (set from another thread) or Ctrl-C stops at once.

    :param clients: processes that send the requests; None: one, and where that one's CPU was the limit the run is made
        again with twice as many, up to a quarter of the machine's cores (the server may need the others).
    :raises LabError: nothing to do, cancelled, or the client itself failed.
    """
    if not plans:
        raise LabError("There is nothing to measure.", fix="measure(target, [closed(4)])")
    created = _now()
    order = [(repeat, plan) for repeat in range(repeats) for plan in plans]
    runs: list[Run] = []
    with turn.take(), Crew(setup(target), cancel=cancel) as crew:
        most = clients or max(1, machine.cpus_allowed() // 4)
        count = clients or 1
        for number, (repeat, plan) in enumerate(order):
            while True:
                measurement = _Measurement(
                    target, crew, plan, repeat, on_event, number, len(order), label, count
                )
                run, done = measurement.carry_out()
                if not too_busy(done) or 2 * count > most:
                    break
                count *= 2
            runs.append(run)
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
        crew: Crew,
        plan: Plan,
        repeat: int,
        on_event: Callable[[Progress], None] | None,
        number: int,
        runs: int,
        label: str | None,
        count: int,
    ) -> None:
        self.target, self.crew, self.plan, self.repeat, self.count = target, crew, plan, repeat, count
        self.on_event, self.number, self.runs, self.label = on_event, number, runs, label
        self.meter = machine.NoiseMeter(target.pid)

    def carry_out(self) -> tuple[Run, Done]:
        if self.plan.warmup:
            self._order(warmup=True)
        before, throttled = self._count(), self._throttle()
        started = _now()
        self.meter.start()
        done = self._order(warmup=False)
        shares = self.meter.stop(done.cpu)
        after = self._count()
        run = Run(
            server=0,
            plan=self.plan,
            samples=done.samples,
            started=started,
            wall=done.wall,
            full=done.full,
            noise=judge(self.plan, done, shares),
            repeat=self.repeat,
            counters=_counters(before, after, done.samples),
            throttle=_since(throttled, self._throttle()),
            peak_rss=self.meter.peak_rss,
            label=self.label,
        )
        return run, done

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

        order = Order(plan=self.plan, warmup=warmup, repeat=self.repeat)
        return self.crew.carry_out(order, tick, count=self.count)

    def _count(self) -> metrics.Count | None:
        """The server's counters once it works on nothing; None when it does not say or come to rest."""
        deadline = monotonic() + QUIET
        while True:
            now = metrics.count(self.target)
            if now is None or not now.busy:
                return now
            if monotonic() > deadline or self.crew.pause(0.02):
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


__all__ = ["measure", "setup", "versions"]
