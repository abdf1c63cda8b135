"""One order of a load client while it runs: requests leave when they are due, and what comes of them is kept."""

from __future__ import annotations

import asyncio
import gc
import os
import random
from collections import deque
from collections.abc import Awaitable, Callable
from time import perf_counter, process_time

import msgspec

from ..records.schema import Plan, Sample
from .arrivals import schedule
from .client import ask, exchange, sample_of
from .endpoint import Endpoint
from .prompts import PATHS, Conversation, body
from .protocol import Done, Order, Setup, Tick
from .reply import SLICE, Live, Reply

TICK = 0.25  # seconds between progress reports
EARLY = 0.002  # wake this long before an arrival, then yield: epoll rounds timeouts up to a millisecond
PULSE = 0.04  # how often the event loop's lateness is sampled: each look costs as much as a token


class Session:
    """One server, and what has been asked of it."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.endpoint = Endpoint.parse(
            setup.url,
            setup.api_key,
            host=setup.host,
            authority=setup.authority,
            session_header=setup.session_header,
        )

    def payload(self, plan: Plan, n: int, repeat: int, among: str) -> bytes:
        """The whole request `n` of those that have this in common, as bytes."""
        made = body(plan, n, repeat=repeat, vocab=self.setup.vocab, model=self.setup.model)
        return self.endpoint.request(PATHS[plan.api], made, conversation=n, among=among)

    async def carry_out(
        self, order: Order, tell: Callable[[Tick], None], start: Callable[[], Awaitable[float]] | None = None
    ) -> Done:
        """Run one order to its end and return what came of it.

        :param tell: is told how it goes, about four times a second.
        :param start: when requests are made, gives when the run begins, as `perf_counter` says; None: at once.
        """
        run = Running(self, order, tell)
        gc.collect()
        gc.freeze()
        gc.disable()  # a collection in the middle would be a late timestamp; a run makes few cycles
        try:
            return await run.go(await start() if start is not None else None)
        finally:
            gc.enable()
            gc.unfreeze()


class Running:
    """One order while it runs."""

    def __init__(self, session: Session, order: Order, tell: Callable[[Tick], None]) -> None:
        self.session, self.tell = session, tell
        self.plan, self.repeat = order.plan, order.repeat
        self.live = Live()
        self.backlog: deque[tuple[Reply, int, float]] = deque()  # to be decoded: n, scheduled
        self.samples: list[Sample] = []
        self.failed = 0
        self.decoding = asyncio.Event()
        self.spun = 0.0
        self.late: list[float] = []  # of the event loop
        self.idle: float | None = None  # when a closed stream, or a user, first found nothing left to send
        # In a session's header: a server that keeps sessions must take those of another run for others, also where the plan is the same.
        self.among = f"{self.plan.seed}-{self.repeat}-{os.urandom(6).hex()}"
        self.talk = self.plan.pattern == "sessions" and not order.warmup
        self.due = None if order.warmup else schedule(self.plan)
        self.mine = slice(order.part, None, order.parts)
        numbers = range(-self.plan.warmup, 0) if order.warmup else range(self.plan.requests)
        # Bodies are made before the clock starts: drawing token ids is the client's work, not the server's
        # delay. In a conversation the reply is part of what is said next: its body is made while the user thinks.
        self.queue = (
            []
            if self.talk
            else [(n, session.payload(self.plan, n, order.repeat, self.among)) for n in numbers[self.mine]]
        )
        self.streams = (
            len(range(self.plan.concurrency)[self.mine])
            if self.plan.concurrency
            else max(1, min(4, len(self.queue)))
        )
        self.zero = 0.0

    async def go(self, zero: float | None = None) -> Done:
        """Send everything, wait for everything.

        :param zero: when to begin, as `perf_counter` says; None: at once.
        """
        if zero is not None:
            await asyncio.sleep(zero - perf_counter())
        cpu = process_time()
        self.zero = zero if zero is not None else perf_counter()
        watch = [asyncio.create_task(work()) for work in (self._report, self._pulse, self._decode)]
        try:
            if self.talk:
                await self._sessions()
            else:
                await (self._closed() if self.due is None else self._open(self.due[self.mine]))
            while self.backlog:
                self._decode_slice()
        finally:
            for task in watch:
                task.cancel()
        used = process_time() - cpu
        self.samples.sort(key=lambda s: s.n)
        sent = min((s.sent for s in self.samples), default=0.0)
        wall = max(perf_counter() - self.zero - sent, 1e-9)
        ends = [s.end for s in self.samples if s.end is not None]
        return Done(
            samples=self.samples,
            wall=max(ends) - sent if ends and len(ends) == len(self.samples) else wall,
            full=self.idle if self.due is None else None,
            cpu=used,
            spun=self.spun,
            lateness_p99=_p99(self.late),
        )

    async def _one(self, n: int, payload: bytes, scheduled: float) -> None:
        reply = await exchange(self.session.endpoint, payload, timeout=self.plan.timeout, live=self.live)
        self.backlog.append((reply, n, scheduled))
        self.decoding.set()

    async def _decode(self) -> None:
        """Decode replies that ended, a slice a turn of the loop: others' arrivals are stamped in between."""
        while True:
            await self.decoding.wait()
            while self.backlog:
                # More in a turn where more come in a turn, so that what is kept stays within a few replies a stream.
                left = SLICE * (1 + len(self.backlog) // self.streams)
                while self.backlog and left > 0:
                    left -= self._decode_slice()
                await asyncio.sleep(0)
            self.decoding.clear()

    def _decode_slice(self) -> int:
        """Decode some of the first reply that waits: how many reads."""
        reply, n, scheduled = self.backlog[0]
        before = reply.kept
        if reply.decode(SLICE):
            self.backlog.popleft()
            sample = sample_of(reply, self.session.endpoint, n=n, scheduled=scheduled, zero=self.zero)
            self.failed += not sample.ok
            self.samples.append(sample)
        return before - reply.kept + 1

    async def _closed(self) -> None:
        waiting = iter(self.queue)

        async def stream() -> None:
            for n, payload in waiting:
                await self._one(n, payload, perf_counter() - self.zero)
            if self.idle is None:
                self.idle = perf_counter() - self.zero

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.streams, len(self.queue))):
                group.create_task(stream())

    async def _sessions(self) -> None:
        plan, turns = self.plan, self.plan.turns or 1
        waiting = iter(range(plan.requests // turns)[self.mine])

        async def user(number: int) -> None:
            draw = random.Random(f"{plan.seed}/{self.repeat}/user/{number}")
            begins = draw.random() * plan.think
            for session in waiting:
                begins = await self._converse(session, begins)
            if self.idle is None:
                self.idle = perf_counter() - self.zero

        async with asyncio.TaskGroup() as group:
            for number in range(min(plan.concurrency or 1, plan.requests // turns))[self.mine]:
                group.create_task(user(number))

    async def _converse(self, session: int, begins: float) -> float:
        """One session from `begins` on; both are seconds from zero, and so is what is given: when the user's next one may begin."""
        plan, turns = self.plan, self.plan.turns or 1
        model = self.session.setup.model
        conversation = Conversation(plan, session, repeat=self.repeat, model=model)
        due = begins
        for turn in range(turns):
            payload = self.session.endpoint.request(
                PATHS[plan.api], conversation.ask(), conversation=session, among=self.among
            )
            while (left := self.zero + due - perf_counter()) > 0:  # a timer may be early by its resolution
                await asyncio.sleep(left)
            said: list[str] = []
            sample = await ask(
                self.session.endpoint,
                payload,
                n=session * turns + turn,
                scheduled=due,
                zero=self.zero,
                timeout=plan.timeout,
                live=self.live,
                said=said,
            )
            self.failed += not sample.ok
            self.samples.append(msgspec.structs.replace(sample, session=session, turn=turn))
            if sample.ok:
                conversation.answered("".join(said))
            due = perf_counter() - self.zero + conversation.pause()
        return due

    async def _open(self, due: list[float]) -> None:
        async with asyncio.TaskGroup() as group:
            for (n, payload), at in zip(self.queue, due, strict=True):
                wait = self.zero + at - perf_counter() - EARLY
                if wait > 0:
                    await asyncio.sleep(wait)
                cpu = process_time()
                while perf_counter() - self.zero < at:
                    await asyncio.sleep(0)  # lets replies in, so nothing is delayed by waiting precisely
                self.spun += process_time() - cpu
                group.create_task(self._one(n, payload, at))

    async def _report(self) -> None:
        before, tokens = perf_counter(), 0
        while True:
            await asyncio.sleep(TICK)
            now = perf_counter()
            self.tell(
                Tick(
                    elapsed=now - self.zero,
                    done=len(self.samples),
                    failed=self.failed,
                    tokens=self.live.tokens,
                    rate=(self.live.tokens - tokens) / (now - before),
                    open=self.live.open,
                )
            )
            before, tokens = now, self.live.tokens

    async def _pulse(self) -> None:
        while True:
            due = perf_counter() + PULSE
            await asyncio.sleep(PULSE)
            self.late.append(max(0.0, perf_counter() - due))


def _p99(values: list[float]) -> float:
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(0.99 * len(ranked)))] if ranked else 0.0
