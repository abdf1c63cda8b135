"""What serves: how many servers, the door in front of them, and what happens to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from ..errors import LabError

Policy = Literal["round_robin", "random", "least_connections", "power_of_two", "prefix_hash"]


class Autoscaler(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Adds and removes servers, in each region by itself, as Kubernetes' HorizontalPodAutoscaler does.

    Every `interval` it wants ceil(requests in flight and waiting / target) servers. More are started at once; fewer are kept
    only after `down_delay` in which fewer were wanted all the time, and then the most of what was wanted in it.
    """

    min: int  # servers of a region, at least
    max: int  # servers of a region, at most
    target: float  # requests in flight per server; a target utilisation u is u · slots
    startup: float  # seconds from the decision to a server that takes requests
    interval: float = 15.0  # seconds between two decisions
    down_delay: float = 300.0  # seconds


class Failure(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server or a region that is gone for a while: what is in flight there is lost."""

    from_s: float
    until_s: float = math.inf
    server: int | None = None
    region: int | None = None


class Replicas(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fleet of equal servers, in regions, behind a door.

    With the queue at the door a server is given no more than it has slots (HAProxy's `maxconn`); requests wait at the door, first
    in, first out. With the queue at the server the policy picks one at once, and each server has a queue without end, as
    llama-server has. A user is served by the nearest region (least round trip) with a free slot, else by the next.

    :raises LabError: for what cannot be.
    """

    servers: int | tuple[int, ...] = 1  # of each region, at the beginning
    queue: Literal["door", "server"] = "door"
    policy: Policy = "least_connections"
    max_queue: int | None = None  # requests waiting at the door; one more is shed at once
    max_wait: float | None = None  # seconds at the door, after which a request is shed
    bound: float = 1.25  # prefix_hash: a server with more than this times the mean load is passed over
    retries: int = 0  # times that a request which was lost with its server goes back to the door
    autoscaler: Autoscaler | None = None
    failures: tuple[Failure, ...] = ()
    round_trip: tuple[tuple[float, ...], ...] = ()  # seconds, [user region][server region]; empty: 0
    residency: dict[int, tuple[int, ...]] = {}  # user region: the only server regions that may serve it

    def __post_init__(self) -> None:
        problem = next(self._problems(), None)
        if problem:
            raise LabError(f"These servers cannot be: {problem}.")

    @property
    def regions(self) -> tuple[int, ...]:
        """The servers of each region at the beginning."""
        return (self.servers,) if isinstance(self.servers, int) else self.servers

    @property
    def places(self) -> tuple[int, ...]:
        """The most servers that each region can have. They are numbered region by region."""
        most = self.autoscaler.max if self.autoscaler else 0
        return tuple(max(count, most) for count in self.regions)

    @property
    def users(self) -> int:
        """The number of user regions."""
        return len(self.round_trip) or max([1, *(user + 1 for user in self.residency)])

    def _problems(self) -> Iterator[str]:
        count, places = len(self.regions), sum(self.places)
        if not count or min(self.regions) < 0 or not places:
            yield f"servers={self.servers} has none"
        if self.queue == "server" and (self.max_queue is not None or self.max_wait is not None):
            yield "max_queue and max_wait are the door's, and queue is at the server"
        if (self.max_queue or 0) < 0 or (self.max_wait or 0) < 0 or self.retries < 0:
            yield "max_queue, max_wait and retries must not be negative"
        if self.bound < 1:
            yield f"bound={self.bound} is below 1, so that no server could take a request"
        if any(len(row) != count or min(row) < 0 for row in self.round_trip):
            yield f"each row of round_trip needs {count} times of 0 s or more, one a server region"
        if any(not 0 <= user < self.users for user in self.residency):
            yield "residency names a user region without a row in round_trip"
        if any(not allowed or not set(allowed) <= set(range(count)) for allowed in self.residency.values()):
            yield f"residency needs server regions from 0 to {count - 1}"
        for each in self.failures:
            if (each.server is None) == (each.region is None) or not each.from_s < each.until_s:
                yield f"{each} needs a server or a region, and an end after its beginning"
            elif not 0 <= (each.server or 0) < places or not 0 <= (each.region or 0) < count:
                yield f"{each} is of a server or region that is not there"
        scaler = self.autoscaler
        if scaler and not (0 <= scaler.min <= scaler.max and scaler.target > 0 and scaler.interval > 0):
            yield f"{scaler} needs 0 ≤ min ≤ max, and a target and an interval above 0"
        if scaler and (scaler.startup < 0 or scaler.down_delay < 0):
            yield "startup and down_delay must not be negative"
