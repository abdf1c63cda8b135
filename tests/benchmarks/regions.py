"""Lab 13's world: seconds until it is up, and until users of a lost region are served again, by how it was lost."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from time import perf_counter

from llmlab.tiers.regions import probes as incidents
from llmlab.tiers.regions.globe import Globe
from llmlab.tiers.regions.routing import Routing


def _spread(values: list[float]) -> str:
    some = [value for value in values if math.isfinite(value)]
    never = f", {len(values) - len(some)} never" if len(some) < len(values) else ""
    return f"{statistics.median(some):.2f} s [{min(some):.2f}-{max(some):.2f}]{never}" if some else "never"


def regions(rounds: int) -> Iterator[str]:
    """Warm starts of the globe with a routing, then each region lost in each way, so many rounds."""
    yield "regions (the lab's own routing: interval 1 s, timeout 1 s, fall 2, rise 5, TTL 2 s)"
    starts = []
    for _ in range(max(3, rounds)):
        began = perf_counter()
        with Globe() as globe, Routing(globe, incidents.REFERENCE):
            starts.append(perf_counter() - began)
    yield f"  up: {_spread(starts)}, n={len(starts)}"
    with Globe() as globe, Routing(globe, incidents.REFERENCE) as routing:
        for how in incidents.WAYS:
            took = []
            for _ in range(rounds):
                for region in globe.places:
                    one = incidents.happen(globe, {"it": routing}, region, how)
                    near = incidents.at_home(globe, region)
                    took.append(incidents.recovery(one.rows["it"], near, one.broke, one.restored))
            yield f"  {how}: served again after {_spread(took)}, n={len(took)}"
