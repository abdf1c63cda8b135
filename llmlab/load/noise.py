"""What to think of a run: whether the client was its limit, and whether other programs were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from .. import machine
from ..records.schema import Noise, Plan, Sample
from ..system import owned
from .protocol import Done

#: Above this share of one core the client may be what limits: at 0.85 an event loop's queue is already as
#: long as six turns (1 / (1 - 0.85)), so its timestamps wait as long as its work.
CLIENT_BUSY = 0.85
#: Seconds of p99 lateness above which timestamps are doubted: a few scheduler slices (Linux: 3 ms on a few
#: cores), a tenth of the 200 ms TTFT that readers notice. Quiet machines show 1 to 3 ms.
CLIENT_LATE = 0.020
#: Share of the machine taken by others above which a run is noisy. One busy loop is 0.5 of two cores, 0.25 of
#: four, 0.125 of eight: it halves a server that uses every core of a small machine, and fits beside `threads
#: = cores - 1` on a larger one. Below 0.04 repeated runs agree (`shared/facts/load-testing.md`, 5c).
FOREIGN = 0.15
#: Share of chunks that came in one read with the chunk before, and so have its arrival. From a tenth on the p90 of ITL is of
#: reads, not of tokens. A door that buffers piles them up too: the client is the limit only where it was also late by more
#: than the time between two tokens, so that it could not have read them apart.
PILED = 0.1


def piled_up(samples: Sequence[Sample]) -> tuple[float, float]:
    """The share of chunks after a first that have the arrival of the one before, and the mean seconds from chunk to chunk.

    The second is the median over requests of (last - first) / (chunks - 1); infinite where no request has two.
    """
    several = [sample.chunks for sample in samples if len(sample.chunks) > 1]
    pairs = sum(len(chunks) - 1 for chunks in several)
    together = sum(before == after for chunks in several for before, after in pairwise(chunks))
    gaps = [(chunks[-1] - chunks[0]) / (len(chunks) - 1) for chunks in several]
    return (together / pairs if pairs else 0.0), (median(gaps) if gaps else float("inf"))


def too_busy(done: Done) -> bool:
    """Whether a core was not enough for a client process."""
    return _working(done) > CLIENT_BUSY


def _working(done: Done) -> float:
    """Share of one core that the busiest process used. Waiting precisely for an arrival is CPU taken from the machine, but it is
    given up as soon as a reply comes."""
    used = done.cpu - done.spun if done.busiest is None else done.busiest
    return max(0.0, used) / done.wall


def judge(plan: Plan, done: Done, shares: machine.Shares) -> Noise:
    """What to think of a run: whether the client was its limit, and whether others took the machine."""
    reasons = []
    if too_busy(done):
        reasons.append(f"the load client used {_working(done):.0%} of a core")
    # Two clocks can run late. The event loop's makes every arrival late, in any loop; an open loop's requests
    # may besides leave late. A request that left in time says nothing of when its reply was read.
    late = {"event loop": done.lateness_p99, "requests": _dispatch(plan, done.samples)}
    for what, seconds in late.items():
        if seconds > CLIENT_LATE:
            reasons.append(f"the client's {what} ran {seconds * 1000:.0f} ms late (p99)")
    piled, gap = piled_up(done.samples)
    if piled > PILED and done.lateness_p99 > gap:
        reasons.append(
            f"{piled:.0%} of the chunks were read together with the one before, by a client late by more than the"
            f" {gap * 1000:.1f} ms between two"
        )
    limited = bool(reasons)
    noisy = shares.foreign is not None and shares.foreign > FOREIGN
    if noisy:
        reasons.append(f"other programs took {shares.foreign:.0%} of the machine's CPU{_neighbours()}")
    return Noise(
        foreign_cpu=shares.foreign,
        server_cpu=shares.server,
        client_cpu=done.cpu / done.wall,
        client_processes=done.workers,
        piled=piled,
        lateness_p99=max(late.values()),
        client_limited=limited,
        noisy=noisy,
        reason="; ".join(reasons) or None,
    )


def _neighbours() -> str:
    """Other servers of this user that another notebook or grader runs meanwhile, for the sentence on noise."""
    found = [
        entry.label
        for entry in owned.entries()
        if entry.owner_alive
        and entry.data["owner"]["pid"] != os.getpid()
        and entry.label.startswith("llama-server")
    ]
    return f" (running beside this: {', '.join(found)}, of another notebook or check)" if found else ""


def _dispatch(plan: Plan, samples: list[Sample]) -> float:
    """p99 of how late requests left that were due at a time; a closed loop has no schedule to be late for."""
    ranked = sorted(s.sent - s.scheduled for s in samples)
    return ranked[int(0.99 * len(ranked))] if ranked and plan.pattern != "closed" else 0.0
