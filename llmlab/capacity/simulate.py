"""Requests through a fleet: `simulate` keeps what became of each, `simulate_stream` only sums and histograms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import LabError
from ..records.stats import SLO
from .fleet import Replicas
from .outcome import Simulated, Totals, totals
from .speeds import Speeds
from .summary import Summary
from .trace import Column, Trace

#: Requests that are worked on at a time: few enough for a processor's cache.
PIECE = 1 << 14


def simulate(trace: Trace, speeds: Speeds, fleet: Replicas, *, seed: int = 0) -> Simulated:
    """Replay a trace on a fleet.

    A request is at the door when it arrives; the round trip to its region is added to its TTFT and E2E. A request of no output
    tokens takes as long as one of 1. What happens in the same instant: ends, then failures and servers that are ready, then the
    autoscaler, then those who have waited too long, then arrivals in their order.

    :param seed: of the policies `random` and `power_of_two`; the luck of a request depends on it and on the request's number only.
    :raises LabError: for a trace whose columns do not fit together, or that is not in the order of arrival.
    """
    many = len(trace.arrival_s)
    floats = {name: np.full(many, np.nan) for name in ("ttft", "e2e", "started")}
    whole: dict[str, Column] = {**floats, "server": np.full(many, -1), "status": np.zeros(many, np.int8)}
    runs = _Runs(speeds, fleet, seed)
    for done in runs.over([trace]):
        for name, column in whole.items():
            column[done["number"]] = done[name]
    return Simulated(
        trace=trace,
        ttft_s=whole["ttft"],
        e2e_s=whole["e2e"],
        server=whole["server"],
        status=whole["status"],
        started=whole["started"],
        totals=runs.totals(),
    )


def simulate_stream(
    chunks: Iterable[Trace],
    speeds: Speeds,
    fleet: Replicas,
    *,
    seed: int = 0,
    slo: SLO | None = None,
    resolution: float = 0.01,
) -> Summary:
    """Replay a trace that comes in pieces, each one's arrivals after the one's before: memory for what is in flight only.

    :param slo: what `Summary.goodput` counts; it cannot be asked for afterwards.
    :param resolution: the width of a bin of the histograms, as a share of its value.
    :raises LabError: as `simulate` does.
    """
    summary = Summary(resolution, slo)
    runs = _Runs(speeds, fleet, seed)
    for done in runs.over(chunks):
        summary.count(done)
    summary.totals = runs.totals()
    return summary


class _Runs:
    """The simulator between two pieces of a trace."""

    def __init__(self, speeds: Speeds, fleet: Replicas, seed: int) -> None:
        from . import loop, state  # numba is half a second of import

        self._run, self._state = loop.run, state
        self.fleet = fleet
        self.arena: Any = state.built(speeds, fleet, seed)
        self.number, self.latest = 0, 0.0
        self.counts = {"requests": 0, "served": 0, "failed": 0, "prompt_tokens": 0, "output_tokens": 0}

    def over(self, chunks: Iterable[Trace]) -> Iterator[Column]:
        """Feed all, and give the requests that are done, a piece at a time, each once."""
        for chunk in chunks:
            self._check(chunk)
            for first in range(0, len(chunk.arrival_s), PIECE):
                yield self._feed(chunk, first, min(first + PIECE, len(chunk.arrival_s)))
        self._take(np.zeros(0, self._state.REQUEST))
        many = len(self.arena.requests)
        self._run(self.arena, many, many, True)
        yield self._done()

    def totals(self) -> Totals:
        world, servers = self.arena.world[0], self.arena.servers
        alive = servers["state"] != self._state.OFF
        paid = float(world["server_seconds"] + (world["end"] - servers["born"][alive]).sum())
        return totals(world, self.counts, paid)

    def _feed(self, chunk: Trace, first: int, last: int) -> Column:
        fresh = np.zeros(last - first, self._state.REQUEST)
        for name, column, usual in (
            ("arrival", chunk.arrival_s, 0),
            ("prompt", chunk.prompt_tokens, 0),
            ("output", chunk.output_tokens, 0),
            ("prefix", chunk.prefix, -1),
            ("prefix_tokens", chunk.prefix_tokens, 0),
            ("region", chunk.region, 0),
        ):
            fresh[name] = usual if column is None else column[first:last]
        fresh["number"] = np.arange(self.number, self.number + last - first)
        for name in ("started", "ttft", "e2e"):
            fresh[name] = np.nan
        fresh["server"] = -1
        self.number += last - first
        kept = self._take(fresh)
        self._run(self.arena, kept, kept + len(fresh), False)
        return self._done()

    def _take(self, fresh: Column) -> int:
        """Put new requests behind those that are not done, which are moved to the front; how many these are."""
        requests = self.arena.requests
        pending = requests["status"] == self._state.PENDING
        # -1, for none, stays -1: it is the last place.
        moved = np.append(np.cumsum(pending) - 1, -1)
        kept = requests[pending]
        kept["link"] = moved[kept["link"]]
        for array, name in (
            (self.arena.slots, "request"),
            (self.arena.queues, "head"),
            (self.arena.queues, "tail"),
        ):
            array[name] = moved[array[name]]
        self.arena = self.arena._replace(requests=np.concatenate([kept, fresh]))
        return len(kept)

    def _done(self) -> Column:
        requests = self.arena.requests
        done: Column = requests[requests["status"] != self._state.PENDING]
        served = done["status"] == self._state.SERVED
        for name, value in (
            ("requests", len(done)),
            ("served", served.sum()),
            ("failed", (done["status"] == self._state.FAILED).sum()),
            ("prompt_tokens", done["prompt"][served].sum()),
            ("output_tokens", done["output"][served].sum()),
        ):
            self.counts[name] += int(value)
        return done

    def _check(self, chunk: Trace) -> None:
        """Refuse what is no trace."""
        arrivals, many = chunk.arrival_s, len(chunk.arrival_s)
        columns = {
            "prompt_tokens": (chunk.prompt_tokens, 0),
            "output_tokens": (chunk.output_tokens, 0),
            "prefix": (chunk.prefix, -1),
            "prefix_tokens": (chunk.prefix_tokens, 0),
            "region": (chunk.region, 0),
        }
        for name, (column, lowest) in columns.items():
            if column is None:
                continue
            if len(column) != many:
                raise LabError(f"The trace has {many} arrivals and {len(column)} values of {name}.")
            if many and column.min() < lowest:
                raise LabError(f"{name} has a value below {lowest}: {column.min()}.")
        if chunk.region is not None and many and chunk.region.max() >= self.fleet.users:
            raise LabError(
                f"The trace has users in region {chunk.region.max()}, and the fleet knows {self.fleet.users} user regions.",
                fix="give Replicas a round_trip with a row for each",
            )
        if many:
            if not (
                np.isfinite(arrivals[-1]) and arrivals[0] >= self.latest and (np.diff(arrivals) >= 0).all()
            ):
                raise LabError(
                    "The arrivals are not in ascending order, from 0 s or from the end of the chunk before.",
                    fix="sort the trace by arrival_s",
                )
            self.latest = float(arrivals[-1])
