"""Requests through a fleet: `simulate` keeps what became of each, `simulate_stream` only sums and histograms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..errors import LabError
from ..records.stats import SLO
from .fleet import Replicas
from .outcome import Forecast, Totals, totals
from .speeds import Speeds
from .summary import Summary
from .trace import Column, Trace

#: Requests that are worked on at a time: few enough for a processor's cache.
PIECE = 1 << 14


def simulate(trace: Trace, speeds: Speeds, fleet: Replicas, *, seed: int = 0) -> Forecast:
    """Replay a trace on a fleet.

    A request is at the door when it arrives; the round trip to its region is added to its TTFT and E2E. A request of no output
    tokens takes as long as one of 1. What happens in the same instant: ends, then failures and servers that are ready, then the
    autoscaler, then those who have waited too long, then arrivals in their order.

    :param seed: of the policies `random` and `power_of_two`; the luck of a request depends on it and on the request's number only.
    :raises LabError: for a trace whose columns do not fit together, or that is not in the order of arrival.
    """
    many = len(trace.arrival_s)
    ttft, e2e, started = (np.full(many, np.nan) for _ in range(3))
    server, status = np.full(many, -1), np.zeros(many, np.int8)
    runs = _Runs(speeds, fleet, seed)
    for requests in runs.over([trace]):
        runs.tally.store(requests, ttft, e2e, started, server, status)
    return Forecast(
        trace=trace,
        ttft_s=ttft,
        e2e_s=e2e,
        server=server,
        status=status,
        started=started,
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
    for requests in runs.over(chunks):
        summary.count(requests)
    summary.totals = runs.totals()
    return summary


class _Runs:
    """The simulator between two pieces of a trace."""

    def __init__(self, speeds: Speeds, fleet: Replicas, seed: int) -> None:
        from . import loop, state, tally  # numba is half a second of import

        self.loop, self.state, self.tally = loop, state, tally
        self.fleet = fleet
        self.arena: Any = state.built(speeds, fleet, seed)
        self.number, self.latest = 0, 0.0

    def over(self, chunks: Iterable[Trace]) -> Iterator[Column]:
        """Feed all, a piece at a time; after each, give its requests: those that are not pending are done, and not seen again."""
        for chunk in chunks:
            self._check(chunk)
            for first in range(0, len(chunk.arrival_s), PIECE):
                yield self._feed(chunk, first, min(first + PIECE, len(chunk.arrival_s)))
        many = self._room(0)
        self.loop.run(self.arena, many, many, True)
        yield self.arena.requests

    def totals(self) -> Totals:
        """The sums, when all is done."""
        world, servers = self.arena.world[0], self.arena.servers
        alive = servers["state"] != self.state.OFF
        paid = float(world["server_seconds"] + (world["end"] - servers["born"][alive]).sum())
        return totals(world, self.number, paid)

    def _feed(self, chunk: Trace, first: int, last: int) -> Column:
        kept = self._room(last - first)
        requests: Column = self.arena.requests
        arrival = np.ascontiguousarray(chunk.arrival_s[first:last], np.float64)
        prompt, output = (
            np.ascontiguousarray(column[first:last], np.int64)
            for column in (chunk.prompt_tokens, chunk.output_tokens)
        )
        self.tally.fill(requests, kept, self.number, arrival, prompt, output)
        for name in ("prefix", "prefix_tokens", "region"):
            column = getattr(chunk, name)
            if column is not None:
                requests[name][kept:] = column[first:last]
        self.number += last - first
        self.loop.run(self.arena, kept, kept + last - first, False)
        return requests

    def _room(self, many: int) -> int:
        """Keep the requests that are not done, with room for `many` behind them; how many are kept."""
        old = self.arena.requests
        pending = np.flatnonzero(old["status"] == self.state.PENDING)
        requests = np.zeros(len(pending) + many, self.state.REQUEST)
        requests[: len(pending)] = kept = old[pending]
        moved = np.full(len(old) + 1, -1)  # -1, for none, stays -1: it is the last place
        moved[pending] = np.arange(len(pending))
        requests["link"][: len(pending)] = moved[kept["link"]]
        for array, name in (
            (self.arena.slots, "request"),
            (self.arena.queues, "head"),
            (self.arena.queues, "tail"),
        ):
            array[name] = moved[array[name]]
        self.arena = self.arena._replace(requests=requests)
        return len(pending)

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
