"""What came of simulated requests: one by one, and in sums."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from ..errors import LabError
from ..records.stats import SLO, Goodput
from .trace import Column, Trace

What = Literal["ttft", "e2e", "wait"]


class Became(IntEnum):
    """What became of a request."""

    SERVED = 1
    SHED = 2  # sent away at the door
    FAILED = 3  # lost with its server, or never served


class Totals(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sums over a simulated run; seconds and tokens."""

    requests: int
    served: int
    failed: int
    shed_full: int  # the queue at the door was full
    shed_late: int  # waited `max_wait`
    shed_displaced: int  # none of the regions that may serve this user was alive
    retried: int  # times that a request went back to the door
    prompt_tokens: int  # of what was served
    output_tokens: int
    cached_tokens: int  # prompt tokens that cost no prefill, lost requests' included
    server_seconds: float  # from the start of each server's start-up, or 0 s, to the end of its draining, or the last request
    slot_seconds: float  # of slots that were taken
    slots: int  # of one server
    peak: int  # most requests in flight and waiting
    end_s: float  # when the last request ended

    @property
    def shed(self) -> int:
        """Requests sent away, for whatever reason."""
        return self.shed_full + self.shed_late + self.shed_displaced

    @property
    def utilisation(self) -> float:
        """The share of the slots that was taken, 0 to 1, over all server-seconds."""
        whole = self.server_seconds * self.slots
        return self.slot_seconds / whole if whole else 0.0


@dataclass(frozen=True)
class Simulated:
    """What became of each request, in the order of the trace; NaN where a request was shed or has failed."""

    trace: Trace
    ttft_s: Column  # from the arrival to the first token, the round trip included
    e2e_s: Column  # to the last
    server: Column  # int64, the last that had it; -1 none
    status: Column  # int8, see `Became`
    started: Column  # seconds of the trace at which it was given a slot; NaN never
    totals: Totals

    @property
    def wait_s(self) -> Column:
        """Seconds from the arrival to a slot."""
        return self.started - self.trace.arrival_s

    def percentiles(self, what: What = "ttft", at: Sequence[float] = (50, 95, 99)) -> tuple[float, ...]:
        """Percentiles in seconds over all that was served, interpolated as numpy does; NaN where nothing was.

        :raises LabError: for another name than ttft, e2e or wait.
        """
        if what not in ("ttft", "e2e", "wait"):
            raise LabError(f"{what!r} is not simulated.", fix='what="ttft", "e2e" or "wait"')
        values = getattr(self, f"{what}_s")[self.status == Became.SERVED]
        return (
            tuple(float(value) for value in np.percentile(values, at)) if len(values) else (np.nan,) * len(at)
        )

    def goodput(self, slo: SLO) -> Goodput:
        """What kept an SLO, as `llmlab.records.stats.goodput` counts it; per second of the time to the last request's end."""
        output = self.trace.output_tokens
        kept = self.status == Became.SERVED
        tpot = (self.e2e_s - self.ttft_s) / np.maximum(output - 1, 1)
        for limit, value in ((slo.ttft_ms, self.ttft_s), (slo.e2e_ms, self.e2e_s), (slo.tpot_ms, tpot)):
            if limit is not None:
                kept &= value * 1000 <= limit
        return good(int(kept.sum()), len(kept), float(output[kept].sum()), self.totals.end_s)


def good(kept: int, of: int, tokens: float, span: float) -> Goodput:
    """A goodput from its counts; `span` in seconds."""
    return Goodput(
        requests=kept,
        of=of,
        share=kept / of if of else 0.0,
        requests_per_second=kept / span if span > 0 else 0.0,
        tokens_per_second=tokens / span if span > 0 else 0.0,
    )


def totals(world: Any, requests: int, server_seconds: float) -> Totals:
    """The sums of a run from the simulator's own record (`llmlab.capacity.state.WORLD`)."""
    return Totals(
        requests=requests,
        served=int(world["served"]),
        failed=int(world["failed"]),
        prompt_tokens=int(world["prompt"]),
        output_tokens=int(world["output"]),
        shed_full=int(world["full"]),
        shed_late=int(world["late"]),
        shed_displaced=int(world["displaced"]),
        retried=int(world["retried"]),
        cached_tokens=int(world["cached"]),
        server_seconds=server_seconds,
        slot_seconds=float(world["slot_seconds"]),
        slots=int(world["slots"]),
        peak=int(world["peak"]),
        end_s=float(world["end"]),
    )
