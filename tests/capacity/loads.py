"""Traces and fleets for the tests of the simulator, drawn from a seed."""

from __future__ import annotations

import math

import numpy as np

from llmlab.capacity.fleet import Autoscaler, Failure, Replicas
from llmlab.capacity.speeds import Speeds
from llmlab.capacity.trace import Trace

#: As in a queue of the textbooks: no prefill, and a step that does not depend on the others.
STEP = 1e-4


def steady(slots: int = 1, step: float = STEP) -> Speeds:
    return Speeds(prefill=math.inf, step=(step,) * slots)


def poisson(many: int, rate: float, output, seed: int = 0, **more) -> Trace:
    """Arrivals at random, `rate` a second; `output` makes so many lengths from a generator."""
    draw = np.random.default_rng(seed)
    arrival = np.cumsum(draw.exponential(1 / rate, many))
    return Trace(arrival, np.zeros(many, np.int64), np.asarray(output(draw, many), np.int64), **more)


def small(seed: int, many: int = 60, users: int = 1) -> Trace:
    """A few requests of all kinds, some at the same time, some of one token or none, some with a prompt that others share."""
    draw = np.random.default_rng(seed)
    arrival = np.cumsum(draw.exponential(0.3, many) * (draw.random(many) > 0.1))
    prompt = draw.integers(0, 400, many) * (draw.random(many) > 0.1)
    prefix = draw.integers(-1, 4, many)
    return Trace(
        arrival,
        prompt,
        np.where(draw.random(many) < 0.2, draw.integers(0, 2, many), draw.integers(1, 120, many)),
        prefix,
        np.where(prefix < 0, 0, 50 * (1 + prefix)),
        draw.integers(0, users, many),
    )


def speeds(seed: int) -> Speeds:
    draw = np.random.default_rng(seed)
    slots = int(draw.integers(1, 5))
    step = 0.01 * np.cumsum(draw.uniform(0.3, 1.0, slots))
    prefill, overhead = float(draw.uniform(200, 2000)), float(draw.uniform(0, 0.02))
    # What long contexts and long prompts cost, as much as the rest of it; every third server knows nothing of that.
    attend, square = draw.uniform(0, [1e-4, 1e-5]) * (seed % 3 > 0)
    return Speeds(prefill, tuple(step), overhead, float(attend), float(square))


def fleet(
    seed: int,
    policy: str,
    *,
    queue: str = "door",
    users: int = 1,
    failing: bool = False,
    scaled: bool = False,
) -> Replicas:
    """A small fleet; all that is not asked for is drawn."""
    draw = np.random.default_rng(seed)
    regions = 1 if users == 1 else int(draw.integers(2, 4))
    servers = tuple(int(n) for n in draw.integers(1, 4, regions))
    more: dict = {}
    if users > 1:
        more["round_trip"] = tuple(tuple(row) for row in draw.uniform(0, 0.2, (users, regions)))
        if draw.random() < 0.5:
            more["residency"] = {0: (int(draw.integers(regions)),)}
    if queue == "door" and draw.random() < 0.5:
        more["max_queue"] = int(draw.integers(0, 8))
    if queue == "door" and draw.random() < 0.5:
        more["max_wait"] = float(draw.uniform(0, 2))
    if scaled:
        low = int(draw.integers(0, 2))
        more["autoscaler"] = Autoscaler(
            min=low,
            max=low + int(draw.integers(1, 4)),
            target=float(draw.uniform(0.5, 4)),
            startup=float(draw.choice([0.0, 1.3])),
            interval=0.7,
            down_delay=float(draw.uniform(0, 3)),
        )
    if failing:
        more["retries"] = int(draw.integers(0, 3))
        made = []
        for _ in range(3):
            begins = float(draw.uniform(0, 15))
            ends = begins + float(draw.uniform(0.5, 8)) if draw.random() < 0.9 else math.inf
            where = (
                {"region": int(draw.integers(regions))}
                if draw.random() < 0.4
                else {"server": int(draw.integers(sum(servers)))}
            )
            made.append(Failure(from_s=begins, until_s=ends, **where))
        for allowed in more.get("residency", {}).values():
            made.append(Failure(from_s=5, until_s=9, region=allowed[0]))
        more["failures"] = tuple(made)
    return Replicas(servers=servers, policy=policy, queue=queue, bound=float(draw.uniform(1, 2)), **more)
