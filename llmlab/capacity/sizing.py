"""Whether a tier of a plan keeps its promise at its size, with one server less too, what it costs, and the smallest that would do.

All by simulation, with the speeds of the learner's own record. The day of a tier is whole but passes twelve times as fast: an hour takes
five minutes, and an autoscaler's clock runs with it. Requests take what they take, so a burst is shorter for them than on a real day.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ..errors import LabError
from ..records.stats import SLO
from ..system.paths import course_dir
from .fleet import Failure
from .outcome import Became, Forecast
from .plan import PlannedTier, Promise, ServicePlan, replicas, slots_used
from .simulate import simulate
from .speeds import Speeds
from .trace import Trace, day, work

DAY = 7200.0  # seconds of a simulated day
HOUR = DAY / 24
FASTER = 86_400 / DAY
MOST = 2000  # servers
SAMPLE = 20_000  # requests that the mean work of a request is taken from


@dataclass(frozen=True, slots=True)
class Sized:
    """What a tier's day came to at one size."""

    tier: str
    servers: float  # mean number over the day
    share: float  # of all requests for which the promise was kept
    worst_hour: float  # the same in the busiest hour
    one_less: float  # and in that hour with one server less; with a region less where there are several
    ttft_p95_s: float
    e2e_p95_s: float
    utilisation: float  # of the slots
    shed: int
    requests: int
    dollars: float  # of the day's server-hours, as if it had 24
    per_million: float  # dollars for a million output tokens

    def holds(self, promise: Promise) -> bool:
        """Whether the promise is kept over the day, and in its busiest hour with one server less."""
        return self.share >= promise.share and self.one_less >= promise.share


def slo(promise: Promise) -> SLO:
    """The promise to one request."""
    return SLO(ttft_ms=1000 * promise.ttft_s, e2e_ms=1000 * promise.e2e_s)


def the_day(tier: PlannedTier, speeds: Speeds, seed: int) -> Trace:
    """The day of a tier: as many requests as make `load` servers of these speeds busy on average.

    :raises LabError: when those are too many to simulate here.
    """
    return _day(tier.load, tier.slots, tier.regions, speeds, seed)


@functools.lru_cache(maxsize=4)
def _day(load: float, slots: int, regions: tuple[str, ...], speeds: Speeds, seed: int) -> Trace:
    each = float(work(day(seed, requests=SAMPLE), at(speeds, slots)).mean())
    many = round(load * DAY / each)
    if many > 20_000_000:
        raise LabError(
            f"A load of {load:g} servers is {many:,} requests, too many to simulate here.", fix="load = 40"
        )
    trace = day(seed, requests=max(1, many), seconds=DAY)
    if len(regions) == 1:
        return trace
    # Users of all regions alike; when it is day here it is day there, too: the hardest case for a fleet.
    where = np.random.default_rng(seed).integers(0, len(regions), len(trace))
    return Trace(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, region=where)


def at(speeds: Speeds, slots: int) -> Speeds:
    """These speeds for servers with another number of slots: fewer are a part of them; a step of more goes on as the last two do."""
    step = list(speeds.step[:slots])
    while len(step) < slots:
        step.append(step[-1] + (step[-1] - step[-2] if len(step) > 1 else step[-1]))
    return msgspec.structs.replace(speeds, step=tuple(step))


def busiest(trace: Trace) -> float:
    """When the busiest hour begins: the one in which most tokens are asked for, of prompts and replies; in seconds."""
    tokens, _ = np.histogram(
        trace.arrival_s, bins=24, range=(0, DAY), weights=trace.prompt_tokens / 16 + trace.output_tokens
    )
    return float(np.argmax(tokens)) * HOUR


def kept(found: Forecast, promise: Promise, first: float = 0.0, last: float = DAY) -> float:
    """The share of the requests that arrive between two seconds for which the promise was kept."""
    mine = (found.trace.arrival_s >= first) & (found.trace.arrival_s < last)
    good = (found.status == Became.SERVED) & (found.ttft_s <= promise.ttft_s) & (found.e2e_s <= promise.e2e_s)
    return float(good[mine].mean()) if mine.any() else 1.0


#: Seconds there and back between regions, `[user][server]` by name.
Distances = Mapping[str, Mapping[str, float]]


def size(
    plan: ServicePlan,
    label: str,
    speeds: Speeds,
    *,
    far: Distances,
    seed: int = 0,
    servers: int | None = None,
) -> Sized:
    """The day of a tier, by simulation; twice: with all servers, and with one less (a region less) in the busiest hour.

    :param far: between the tier's regions, where it has several.
    :param servers: a fixed number of them instead of what the plan says; of each region.
    :raises LabError: no such tier, no such machine in data/aws.toml, or as `the_day`.
    """
    tier = _tier(plan, label)
    if servers is not None:
        count: Any = dict.fromkeys(tier.regions, servers) if len(tier.regions) > 1 else servers
        tier = _with(tier, replicas=count, autoscale=None)
    rate = dollars_an_hour(tier.machine)
    trace, own = the_day(tier, speeds, seed), at(speeds, slots_used(plan, tier))
    if unknown := [name for name in tier.regions if len(tier.regions) > 1 and name not in far]:
        raise LabError(f"[tier.{label}]: there is no region {unknown[0]!r}.", fix="one of " + ", ".join(far))
    whole = simulate(trace, own, replicas(plan, tier, round_trip=far, faster=FASTER), seed=seed)
    begins = busiest(trace)
    several = len(tier.regions) > 1
    gone = Failure(
        from_s=begins, until_s=begins + HOUR, server=None if several else 0, region=0 if several else None
    )
    less = simulate(
        trace, own, replicas(plan, tier, round_trip=far, failures=(gone,), faster=FASTER), seed=seed
    )
    totals = whole.totals
    hours = totals.server_seconds / 3600 * FASTER
    tokens = totals.output_tokens * FASTER
    p95 = [float(whole.percentiles(what, (95,))[0]) for what in ("ttft", "e2e")]
    return Sized(
        tier=label,
        servers=totals.server_seconds / totals.end_s if totals.end_s else 0.0,
        share=kept(whole, plan.promise),
        worst_hour=kept(whole, plan.promise, begins, begins + HOUR),
        one_less=kept(less, plan.promise, begins, begins + HOUR),
        ttft_p95_s=p95[0],
        e2e_p95_s=p95[1],
        utilisation=totals.utilisation,
        shed=totals.shed,
        requests=totals.requests,
        dollars=hours * rate,
        per_million=hours * rate / tokens * 1e6 if tokens else float("inf"),
    )


def cheapest(plan: ServicePlan, label: str, speeds: Speeds, *, far: Distances, seed: int = 0) -> Sized:
    """The smallest fixed number of servers (of each region) with which the tier keeps its promise, found by bisection.

    More servers are never worse for the same arrivals, so bisection finds the smallest.

    :raises LabError: when not even `MOST` do.
    """
    few, many = 0, max(2, round(_tier(plan, label).load * 2))
    found = size(plan, label, speeds, far=far, seed=seed, servers=many)
    while not found.holds(plan.promise):
        few, many = many, many * 2
        if many > MOST:
            raise LabError(
                f"[tier.{label}]: not even {few} servers keep this promise.",
                fix="promise less: ttft_s and e2e_s are shorter than one request takes alone",
            )
        found = size(plan, label, speeds, far=far, seed=seed, servers=many)
    while many - few > 1:
        middle = (few + many) // 2
        tried = size(plan, label, speeds, far=far, seed=seed, servers=middle)
        if tried.holds(plan.promise):
            many, found = middle, tried
        else:
            few = middle
    return found


def dollars_an_hour(machine: str) -> float:
    """The list price of a machine, from data/aws.toml, with that file's date (`priced`).

    :raises LabError: when it has no such machine.
    """
    rows = {row["name"]: float(row["dollars"]) for row in _prices()["instance"]}
    if machine not in rows:
        raise LabError(f"data/aws.toml has no machine {machine!r}.", fix="one of " + ", ".join(rows))
    return rows[machine]


def priced() -> str:
    """The date of the prices."""
    return str(_prices()["as_of"])


def _prices() -> dict[str, Any]:
    return tomllib.loads((course_dir() / "data" / "aws.toml").read_text(encoding="utf-8"))


def _tier(plan: ServicePlan, label: str) -> PlannedTier:
    if label not in plan.tier:
        raise LabError(f"The plan has no tier {label!r}.", fix="one of " + ", ".join(plan.tier))
    return plan.tier[label]


def _with(tier: PlannedTier, **changes: Any) -> PlannedTier:
    return msgspec.structs.replace(tier, **changes)
