"""The busiest hour of a day at a load that rises in steps: the largest load with which so many servers keep a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from ..errors import LabError
from . import sizing
from .plan import PlannedTier
from .speeds import Speeds
from .trace import Trace, work

#: Of what the servers can do at best: what is asked of them on each stair.
STEPS = (0.5, 0.75, 1.0, 1.3)
LONGEST = sizing.HOUR * len(STEPS)  # seconds: the whole hour on each stair


@dataclass(frozen=True, eq=False)
class Staircase:
    """Requests at a load that rises in steps, and which load each step is."""

    trace: Trace
    loads: tuple[
        float, ...
    ]  # ascending: of the day whose busiest hour it is, in servers that are always busy
    width: float  # seconds of a step

    def shares(self, kept: Sequence[bool] | np.ndarray[Any, Any]) -> list[float]:
        """For which share of each step's requests a promise was kept; `kept`: of each request, in the order of the trace."""
        which = np.minimum(self.trace.arrival_s // self.width, len(self.loads) - 1).astype(int)
        good = np.asarray(kept, bool)
        return [float(good[which == number].mean()) for number in range(len(self.loads))]


@dataclass(frozen=True)
class LargestLoad:
    """The largest load with which a promise was kept, and between which loads it lies; None: it was on no stair."""

    load: float | None  # between the last stair on which it was kept and the next, on a straight line
    low: float  # the last stair on which it was kept; 0: none
    high: float | None  # the first on which it was not; None: it was kept on all


def staircase(tier: PlannedTier, speeds: Speeds, servers: int, *, seconds: float, seed: int = 0) -> Staircase:
    """Of the tier's day at its size in `sizing`: a part of the busiest hour that asks for as much as the hour does on average.

    The part is the same on each step, thinned: who comes on a step comes on the next one too, and others beside.

    :param servers: that `STEPS` are shares of.
    :param seconds: of the whole staircase.
    :raises LabError: when a step is longer than the hour, or nobody comes on one.
    """
    if not 0 < seconds <= LONGEST:
        raise LabError(f"A staircase of {seconds:g} s cannot be.", fix=f"from 60 to {LONGEST:g} s")
    width, most = seconds / len(STEPS), 1.25 * servers
    day = sizing.the_day(msgspec.structs.replace(tier, load=most, replicas=servers), speeds, seed)
    own = sizing.at(speeds, tier.slots)
    begins = sizing.busiest(day)
    asked, edges = np.histogram(
        day.arrival_s, int(sizing.HOUR / width), range=(begins, begins + sizing.HOUR), weights=work(day, own)
    )
    usual = int(np.argmin(np.abs(asked - asked.mean())))
    part = day.only((day.arrival_s >= edges[usual]) & (day.arrival_s < edges[usual] + width))
    if not len(part):
        raise LabError(f"Nobody comes within {width:g} s.", fix="seconds=80")
    luck = np.random.default_rng(seed).random(len(part))
    whole = float(work(part, own).sum()) / width  # servers that it keeps busy as it is
    pieces, loads = [], []
    for number, share in enumerate(STEPS):
        kept = share * servers / whole
        chosen = part.only(luck <= max(kept, luck.min()))  # one at least
        pieces.append((chosen.arrival_s - edges[usual] + number * width, chosen))
        loads.append(min(kept, 1.0) * most)
    trace = Trace(
        np.concatenate([arrival for arrival, _ in pieces]),
        np.concatenate([chosen.prompt_tokens for _, chosen in pieces]),
        np.concatenate([chosen.output_tokens for _, chosen in pieces]),
    )
    return Staircase(trace, tuple(loads), width)


def largest(loads: Sequence[float], shares: Sequence[float], promised: float) -> LargestLoad:
    """Up to which load a promise was kept.

    :param loads: of the stairs, ascending.
    :param shares: of the requests on each for which it was kept.
    :param promised: the share for which it has to be.
    """
    first = next((number for number, share in enumerate(shares) if share < promised), len(loads))
    if first == 0:
        return LargestLoad(None, 0.0, loads[0])
    if first == len(loads):
        return LargestLoad(loads[-1], loads[-1], None)
    (low, high), (above, below) = loads[first - 1 : first + 1], shares[first - 1 : first + 1]
    return LargestLoad(low + (high - low) * (above - promised) / (above - below), low, high)
