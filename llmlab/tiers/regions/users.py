"""Users on every continent, as real clients are: they keep a name's answer for its TTL and a connection while it works."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import dns.asyncquery
import dns.exception
import httpx

from ...errors import LabError
from .nameserver import Answer, NameServer

if TYPE_CHECKING:
    from .routing import Routing

PATIENCE = 1.5  # seconds after which a user gives a request up, and the connection with it
REUSE = 4.0  # seconds for which a user goes on with a connection that works, whatever the name says meanwhile
PAUSE = 0.25  # seconds between an answer and the next request
TOKENS = 4


@dataclass(frozen=True, slots=True)
class UserRequest:
    """One request. Times are seconds since its `RegionalUsers` began; `status` 0: no reply, then `error` says why."""

    users: str
    user: str
    sent: float
    over: float
    region: str  # that answered, as the region's own proxy says it
    entry: str  # the region to which the name led
    status: int
    tokens: int
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether the user got tokens."""
        return self.status == 200 and self.tokens > 0

    @property
    def took(self) -> float:
        """Seconds from the request to the whole reply."""
        return self.over - self.sent


class RegionalUsers:
    """They ask from their own thread until they are told to stop, at most `MOST` requests in all.

    Closed loops with a pause, `each` of every kind; or, with `rate`, so many requests per second of every kind whatever
    becomes of them (then every request has a connection of its own, as from many users).

    :param routing: what leads them.
    :param rate: requests a second of every kind; None: closed loops.
    :param at: which kinds of users there are (default: all).
    :param name: the name that all of them ask for (default: the residents theirs, the others theirs).
    :param pause: seconds between an answer and the next request.
    :param patience: seconds after which a user gives a request up, and the connection with it.
    """

    MOST = 20_000

    def __init__(
        self,
        routing: Routing,
        *,
        each: int | Mapping[str, int] = 1,
        rate: float | None = None,
        at: Sequence[str] | None = None,
        name: str | None = None,
        pause: float = PAUSE,
        patience: float = PATIENCE,
    ) -> None:
        self.routing, self.rate, self.name = routing, rate, name
        self.at = list(at or routing.globe.users)
        #: Kind → how many.
        self.each = {kind: each if isinstance(each, int) else each.get(kind, 1) for kind in self.at}
        self.pause, self.patience = pause, patience
        self.rows: list[UserRequest] = []  # what they asked, as it ended
        self.began = time.time()  # seconds since 1970
        self._zero = time.perf_counter()
        self._stop = threading.Event()
        self._left = self.MOST
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="users", daemon=True)

    @property
    def now(self) -> float:
        """Seconds since they began."""
        return time.perf_counter() - self._zero

    def wait(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let them ask for so long, or until something is so; whether it was."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if until is not None and until():
                return True
            self._stop.wait(0.05)
        return until is not None and until()

    def stop(self) -> list[UserRequest]:
        """No more requests; those under way are awaited. All rows, by the time they were sent."""
        self._stop.set()
        self._thread.join(self.patience + 10)
        return sorted(self.rows, key=lambda row: row.sent)

    def __enter__(self) -> Self:
        self.began, self._zero = time.time(), time.perf_counter()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _run(self) -> None:
        if self.rate is None:
            tasks = [self._one(kind, n) for kind in self.at for n in range(self.each[kind])]
        else:
            tasks = [self._arrivals(kind, n / len(self.at)) for n, kind in enumerate(self.at)]
        await asyncio.gather(*tasks)

    async def _one(self, kind: str, n: int) -> None:
        await asyncio.sleep(self.pause * ((n * 7 + self.at.index(kind) * 3) % 10) / 10)  # not all at once
        async with contextlib.aclosing(_User(self, kind, f"{kind}-{n}")) as user:
            while not self._stop.is_set() and self._left > 0:
                self._left -= 1
                self.rows.append(await user.ask())
                await asyncio.sleep(self.pause)

    async def _arrivals(self, kind: str, share: float) -> None:
        """Evenly spaced, each kind a bit after the one before."""
        assert self.rate is not None
        names = _Resolver(self, kind)
        running: set[asyncio.Task[None]] = set()
        due = self.now + share / self.rate
        while not self._stop.is_set() and self._left > 0:
            await asyncio.sleep(max(0.0, due - self.now))
            due += 1 / self.rate
            self._left -= 1
            running.add(asyncio.create_task(self._once(kind, names)))
            running = {task for task in running if not task.done()}
        if running:
            await asyncio.wait(running)

    async def _once(self, kind: str, names: _Resolver) -> None:
        async with contextlib.aclosing(_User(self, kind, kind, names)) as user:
            self.rows.append(await user.ask())


class _Resolver:
    """What a resolver near the users does: it asks with their network, and keeps the answer for its TTL."""

    def __init__(self, users: RegionalUsers, kind: str) -> None:
        routing = users.routing
        self.names: NameServer = routing.names
        self.name, self.network = users.name or routing.name(kind), routing.globe.users[kind].network
        self._kept: Answer | None = None
        self._until = 0.0

    async def address(self) -> str:
        """The first address of the name.

        :raises LabError: when there is none now.
        """
        if self._kept is None or time.monotonic() >= self._until:
            try:
                reply = await dns.asyncquery.udp(
                    self.names.query(self.name, self.network), "127.0.0.1", 2, self.names.port
                )
            except (dns.exception.DNSException, OSError) as error:
                raise LabError(f"the name server does not answer: {error}") from error
            answer = self.names.read(reply)
            if not answer.addresses:
                raise LabError(f"{self.name}: {answer.rcode}, no address")
            self._kept, self._until = answer, time.monotonic() + answer.ttl
        return self._kept.addresses[0]


class _User:
    """One client: a connection that it goes on with for a while, else the address that its resolver gives."""

    def __init__(self, users: RegionalUsers, kind: str, user: str, names: _Resolver | None = None) -> None:
        self.users, self.kind, self.user = users, kind, user
        self._names = names or _Resolver(users, kind)
        self._http: httpx.AsyncClient | None = None
        self._opened = 0.0
        self._address = ""

    async def ask(self) -> UserRequest:
        """One completion."""
        sent = self.users.now
        try:
            http = await self._connection()
            reply = await asyncio.wait_for(
                http.post("/v1/completions", json=self._body()), timeout=self.users.patience
            )
            tokens = _tokens(reply)
            return self._row(
                sent, reply.status_code, reply.headers, tokens, "" if tokens else reply.text[:400]
            )
        except (LabError, httpx.HTTPError, TimeoutError, OSError) as error:
            await self.aclose()
            late = isinstance(error, TimeoutError | httpx.TimeoutException)
            said = f"given up after {self.users.patience:g} s" if late else str(error) or type(error).__name__
            return self._row(sent, 0, {}, 0, said)

    def _body(self) -> dict[str, object]:
        return {"prompt": "Once upon a time", "max_tokens": TOKENS, "ignore_eos": True}

    def _row(
        self, sent: float, status: int, headers: Mapping[str, str], tokens: int, error: str
    ) -> UserRequest:
        globe = self.users.routing.globe
        entry = next((name for name, place in globe.places.items() if place.address == self._address), "")
        region = headers.get("x-region", "")
        return UserRequest(self.kind, self.user, sent, self.users.now, region, entry, status, tokens, error)

    async def _connection(self) -> httpx.AsyncClient:
        if self._http is not None and self.users.now - self._opened < REUSE:
            return self._http
        await self.aclose()
        self._address = await self._names.address()
        port = self.users.routing.way.get((self.kind, self._address))
        if port is None:
            raise LabError(f"nobody is at {self._address}")
        transport = httpx.AsyncHTTPTransport(verify=False, limits=httpx.Limits(max_connections=1))
        self._http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            transport=transport,
            headers={"host": self._names.name, "x-user": self.user},
            timeout=None,
        )
        self._opened = self.users.now
        return self._http

    async def aclose(self) -> None:
        """Let the connection go."""
        if self._http is not None:
            http, self._http = self._http, None
            await http.aclose()


def _tokens(reply: httpx.Response) -> int:
    try:
        return int(reply.json()["usage"]["completion_tokens"]) if reply.status_code == 200 else 0
    except (ValueError, KeyError, TypeError):
        return 0
