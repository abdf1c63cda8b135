"""The door of a plan."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from .fleet import Policy

Above = Annotated[float, Meta(gt=0, lt=1e6)]


class PlannedDoor(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The proxy in front: whom it picks, who waits how long, and how it notices that a server is gone."""

    policy: Policy
    max_queue: Annotated[int, Meta(ge=0, le=100_000)]  # requests that wait; the next one is told 429
    max_wait_s: Above  # how long one waits; then it is told 503
    check_s: Annotated[float, Meta(ge=0.1, le=60)]  # between two health checks, and how long one may take
    fall: Annotated[int, Meta(ge=1, le=20)] = 2  # checks that fail in a row until a server is left out
    #: Requests that a server is given at once, while the others wait at the door; none: as many as it has slots.
    maxconn: Annotated[int, Meta(ge=1, le=4096)] | None = None
    config: Literal["haproxy.cfg"] | None = (
        None  # a file beside the plan, run instead of the door that it describes
    )

    @property
    def notices_s(self) -> float:
        """Seconds until a server that hangs is left out, at the latest: fall × (interval + time-out) (HAProxy: inter, fall)."""
        return self.fall * 2 * self.check_s
