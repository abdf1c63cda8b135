"""What the simulator says of a plan: its own day, whose users were served abroad, what tokens cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from ...capacity import plan as plans
from ...capacity import sizing
from ...capacity.fleet import Failure
from ...capacity.outcome import Became, Forecast
from ...capacity.plan import HERE, PlannedScaling, ServicePlan
from ...capacity.simulate import simulate
from ...capacity.speeds import Speeds
from ...capacity.trace import Trace
from ..regions import places
from .replay import ServerLoss


def far() -> sizing.Distances:
    """Round trips between the regions, in seconds, as the tier regions has them."""
    there = places.regions()
    return {
        a: {b: place.rtt(other) / 1000 if a != b else 0.0 for b, other in there.items()}
        for a, place in there.items()
    }


def forecast(plan: ServicePlan, speeds: Speeds, trace: Trace, happening: Sequence[ServerLoss]) -> Forecast:
    """The tier `here` on a day, by simulation, its servers lost as they were in a replay."""
    tier = plan.tier[HERE]
    lost = tuple(
        Failure(from_s=each.broke, until_s=each.restored, server=int(each.server.removeprefix("s")) - 1)
        for each in happening
    )
    fleet = plans.replicas(plan, tier, round_trip={}, failures=lost)
    return simulate(trace, sizing.at(speeds, plans.slots_used(plan, tier)), fleet)


def leaving_home(plan: ServicePlan, label: str, speeds: Speeds, *, home: str, seed: int) -> int:
    """How many requests of a region's users were served elsewhere, on a day and on one in which that region is lost in its busiest hour."""
    tier = plan.tier[label]
    if home not in tier.regions or len(tier.regions) == 1:
        return 0
    where, own = tier.regions.index(home), sizing.at(speeds, plans.slots_used(plan, tier))
    trace = sizing.the_day(tier, speeds, seed)
    assert trace.region is not None
    begins = sizing.busiest(trace)
    lost = Failure(from_s=begins, until_s=begins + sizing.HOUR, region=where)
    count = 0
    for failures in ((), (lost,)):
        fleet = plans.replicas(plan, tier, round_trip=far(), failures=failures, faster=sizing.FASTER)
        first = sum(fleet.places[:where])
        found = simulate(trace, own, fleet, seed=seed)
        mine = (trace.region == where) & (found.status == Became.SERVED)
        inside = (found.server >= first) & (found.server < first + fleet.places[where])
        count += int((mine & ~inside).sum())
    return count


def costs_at(plan: ServicePlan, label: str, speeds: Speeds, share: float, seed: int) -> dict[str, float]:
    """Dollars for a million output tokens when the load keeps four servers `share` busy, in three ways (those that serve anything)."""
    tier = plan.tier[label]
    four = 4
    ways: dict[str, dict[str, Any]] = {
        "always on": {"replicas": four, "autoscale": None},
        "autoscaled": {
            "replicas": None,
            "autoscale": PlannedScaling(min=1, max=2 * four, target=0.6 * tier.slots, startup_s=20.0),
        },
        "scale to zero": {
            "replicas": None,
            "autoscale": PlannedScaling(min=0, max=2 * four, target=0.6 * tier.slots, startup_s=20.0),
        },
    }
    found = {}
    for name, more in ways.items():
        changed = msgspec.structs.replace(tier, load=share * four, home=(), **more)
        # Whoever comes while nobody is there waits: what is shed costs nothing, and would make this the cheapest way.
        door = msgspec.structs.replace(plan.door, max_queue=100_000, max_wait_s=600.0)
        tried = msgspec.structs.replace(plan, tier={label: changed}, door=door)
        found[name] = sizing.size(tried, label, speeds, far={}, seed=seed).per_million
    return {name: dollars for name, dollars in found.items() if math.isfinite(dollars)}
