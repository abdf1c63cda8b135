"""Users who go on until they are told to stop, and whose number can change: load across a deployment's changes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import threading
from collections.abc import Callable
from time import perf_counter

from ..errors import LabError
from ..records.schema import Plan, Sample
from .client import ask
from .endpoint import Endpoint
from .prompts import PATHS, body
from .reply import Live


class Users:
    """Closed loops against one address, from a thread of this process: each user sends its next request when the last is answered.

    One connection per request and no retry: what fails is a sample with an `error`. Times are seconds from the start.
    Unlike `measure` it counts what fails; for latencies use `measure`, whose client has a process of its own.

    :param tokens: of a reply; a function is asked for each request (its number from 0).
    :param timeout: seconds for a whole reply.
    :param api_key: several: each user keeps one of them, in turn as they come.
    :param host: that requests name; over TLS its name is said, and the certificate verified for it. None: that of the URL.
    :param authority: the certificate that is trusted (PEM); None: the system's.
    :param session_header: the name of a header in which each user says what is its own and no other's, of these `Users` or of others; None:
        no such header.
    """

    def __init__(
        self,
        url: str,
        count: int,
        *,
        tokens: int | Callable[[int], int] = 64,
        seed: int = 0,
        timeout: float = 60,
        api_key: str | tuple[str, ...] | None = None,
        host: str | None = None,
        authority: bytes | None = None,
        session_header: str | None = None,
    ) -> None:
        self.url = url
        self.samples: list[Sample] = []
        self.over: dict[int, float] = {}  # when the n-th request was over, well or not
        self._wanted = count
        self._tokens = tokens if callable(tokens) else (lambda _: tokens)
        self._seed, self._timeout = seed, timeout
        self._endpoint = Endpoint.parse(
            url, api_key, host=host, authority=authority, session_header=session_header
        )
        self._among = os.urandom(6).hex()
        self._came = itertools.count()  # users; a place is taken again by who comes after one that left
        self._live = Live()
        self._sent = 0
        self._zero = perf_counter()
        self._changed: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="users", daemon=True)

    @property
    def now(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._zero

    @property
    def open(self) -> int:
        """Requests in flight."""
        return self._live.open

    @property
    def tokens(self) -> int:
        """Pieces of replies that have come so far."""
        return self._live.tokens

    @property
    def failed(self) -> list[Sample]:
        """Those that were not answered in full, so far."""
        return [sample for sample in list(self.samples) if not sample.ok]

    def set(self, count: int) -> None:
        """From now on so many users (0: they leave for good); who is one too many leaves with the end of its reply."""
        self._wanted = count
        if self._loop is not None and self._changed is not None:
            with contextlib.suppress(RuntimeError):  # all have left: its loop is closed
                self._loop.call_soon_threadsafe(self._changed.set)

    def stop(self, within: float = 60) -> list[Sample]:
        """No more requests; the replies under way are awaited.

        :return: all samples, by the time they were sent.
        :raises LabError: when they do not come.
        """
        self.set(0)
        self._thread.join(within)
        if self._thread.is_alive():
            raise LabError(f"{self.open} replies did not come within {within:.0f} s.", where=self.url)
        return sorted(self.samples, key=lambda sample: sample.sent)

    def __enter__(self) -> Users:
        self._zero = perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.set(0)
        self._thread.join(self._timeout + 5)

    async def _run(self) -> None:
        self._loop, self._changed = asyncio.get_running_loop(), asyncio.Event()
        running: set[asyncio.Task[None]] = set()
        while self._wanted or running:
            while len(running) < self._wanted:
                running.add(asyncio.create_task(self._user(len(running))))
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait({changed, *running}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            self._changed.clear()
            running = {task for task in running if not task.done()}

    async def _user(self, place: int) -> None:
        user = next(self._came)
        while place < self._wanted:
            n, self._sent = self._sent, self._sent + 1
            plan = Plan(
                pattern="closed",
                prompt_tokens=16,
                max_tokens=self._tokens(n),
                seed=self._seed,
                timeout=self._timeout,
            )
            payload = self._endpoint.request(
                PATHS[plan.api], body(plan, n), conversation=user, among=self._among
            )
            sample = await ask(
                self._endpoint,
                payload,
                n=n,
                scheduled=self.now,
                zero=self._zero,
                timeout=self._timeout,
                live=self._live,
            )
            self.over[n] = self.now
            self.samples.append(sample)
            if not sample.ok and not sample.status:
                await asyncio.sleep(0.2)  # nobody there: a person would not ask a thousand times a second
