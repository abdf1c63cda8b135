"""What load needs to know of a server, and what it reports while it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..records.schema import Plan, ServerInfo, Throttle

if TYPE_CHECKING:
    from ..serve import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One server to be measured, or the door before several. `url` includes any prefix before /v1."""

    url: str
    info: ServerInfo
    #: Several are sent in turn: request n, or all of session n in a plan of sessions, has key n modulo their number.
    api_key: str | tuple[str, ...] | None = None
    #: The Host header, and the name that is said over TLS and that the certificate is verified for; None: what the URL says.
    host: str | None = None
    authority: bytes | None = (
        None  # the certificate of whom a client trusts (PEM); None: whom the system trusts
    )
    #: The name of a header that says which conversation a request belongs to: the same for all turns of a session, another for
    #: every session, run and measurement. Without sessions each request is its own. None: no such header.
    session_header: str | None = None
    model: str | None = None  # as the API should be asked for it; None: the server's only one
    #: Of the server; of the door and the servers behind it. None: not visible from here, so foreign CPU cannot be told.
    pid: int | tuple[int, ...] | None = None
    throttle: Callable[[], Throttle | None] | None = None  # CPU throttling since the server started


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where a measurement stands; about four a second."""

    phase: str  # warm-up | run
    run: int  # which run, from 0
    runs: int
    plan: Plan
    done: int  # requests answered or failed in this phase
    total: int
    failed: int
    tokens: int  # so far in this phase
    tokens_per_second: float  # since the last report
    concurrency: int  # requests in flight
    elapsed: float  # seconds in this phase


def target(server: Server) -> Target:
    """What the load client must know of a server."""
    return Target(
        url=server.url,
        api_key=server.key,
        model=server.model.name,
        pid=server.pid,
        info=server.info(),
        throttle=server.throttle,
    )
