"""Several load clients that carry out one plan together, where one core is not enough for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import perf_counter

import msgspec

from .process import Worker, hear
from .protocol import Done, Go, Order, Ready, Setup, Tick

LEAD = 0.05  # seconds from the word to the start: all have heard it by then


class Crew:
    """The load clients of one measurement, started as they are needed; a context manager that ends them all."""

    def __init__(self, setup: Setup, *, cancel: threading.Event | None = None) -> None:
        self._setup = setup
        self._cancel = cancel or threading.Event()
        self._workers: list[Worker] = []
        self._stack = ExitStack()

    def __enter__(self) -> Crew:
        self._enlist(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def pause(self, seconds: float) -> bool:
        """Wait that long, or until cancelled: True when cancelled."""
        return self._cancel.wait(seconds)

    def carry_out(self, order: Order, on_tick: Callable[[Tick], None], *, count: int = 1) -> Done:
        """Have one order carried out by so many of them, and hear their ticks until all are done.

        :param count: at most; no more than there are streams, or requests.
        :raises LabError: cancelled, or a client died or fell silent.
        """
        plan = order.plan
        count = min(count, plan.concurrency or count, plan.warmup if order.warmup else plan.requests)
        workers = self._enlist(max(1, count))
        if len(workers) == 1:
            return workers[0].carry_out(order, on_tick)
        for part, worker in enumerate(workers):
            worker.tell(msgspec.structs.replace(order, part=part, parts=len(workers)))
        waiting, ready = list(workers), 0
        ticks: dict[Worker, Tick] = {}
        parts: list[Done] = []
        for worker, event in hear(waiting, self._cancel):
            if isinstance(event, Ready):
                ready += 1
                if ready == len(workers):
                    for other in workers:
                        other.tell(Go(zero=perf_counter() + LEAD))
            elif isinstance(event, Done):
                parts.append(event)
                waiting.remove(worker)
                if worker in ticks:
                    ticks[worker] = msgspec.structs.replace(ticks[worker], open=0, rate=0.0)
            else:
                ticks[worker] = event
                if worker is waiting[0]:
                    on_tick(_sum(list(ticks.values())))
        return merged(parts)

    def _enlist(self, count: int) -> list[Worker]:
        while len(self._workers) < count:
            self._workers.append(self._stack.enter_context(Worker(self._setup, cancel=self._cancel)))
        return self._workers[:count]


def _sum(ticks: Sequence[Tick]) -> Tick:
    return Tick(
        elapsed=max(tick.elapsed for tick in ticks),
        done=sum(tick.done for tick in ticks),
        failed=sum(tick.failed for tick in ticks),
        tokens=sum(tick.tokens for tick in ticks),
        rate=sum(tick.rate for tick in ticks),
        open=sum(tick.open for tick in ticks),
    )


def merged(parts: Sequence[Done]) -> Done:
    """Several clients' results, whose times have one zero, as those of one."""
    samples = sorted((sample for part in parts for sample in part.samples), key=lambda sample: sample.n)
    ends = [sample.end for sample in samples if sample.end is not None]
    whole = samples and len(ends) == len(samples)
    full = [part.full for part in parts if part.full is not None]
    return Done(
        samples=samples,
        wall=max(ends) - min(sample.sent for sample in samples) if whole else max(p.wall for p in parts),
        full=min(full) if full else None,
        cpu=sum(part.cpu for part in parts),
        spun=sum(part.spun for part in parts),
        lateness_p99=max(part.lateness_p99 for part in parts),
        busiest=max(part.cpu - part.spun for part in parts),
        workers=len(parts),
    )
