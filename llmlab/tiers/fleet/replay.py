"""A day of requests through the door of a fleet, with two incidents in it that nobody announced."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...capacity import trace as days
from ...capacity.plan import HERE, ServicePlan
from ...capacity.speeds import Speeds
from ...capacity.trace import Trace
from ...load import Progress, measure
from ...machine import profile
from ...records.schema import Record
from .fleet import PlannedFleet

LONG = {"binder": 90.0}  # seconds for which a day lasts; elsewhere four minutes
USUAL = 240.0
REQUESTS = 60_000  # of the day that is thinned
WAYS = ("killed", "hung")
BETWEEN = ((0.30, 0.42), (0.62, 0.74))  # shares of the day within which the incidents begin
LASTS = 0.06  # of the day, and eight seconds at least


@dataclass(frozen=True, slots=True)
class ServerLoss:
    """A server lost for a while; seconds of the day."""

    server: str
    how: str  # killed | hung
    broke: float
    restored: float


def seconds() -> float:
    """How long a day takes here."""
    return LONG.get(profile(), USUAL)


def the_day(plan: ServicePlan, speeds: Speeds, seed: int, *, length: float | None = None) -> Trace:
    """The day of the tier `here`: its load in servers that are busy all the time, whatever those can do on this machine."""
    whole = days.day(seed, requests=REQUESTS)
    return days.compressed(
        whole, length or seconds(), speeds=speeds, servers=1, load=plan.tier[HERE].load, seed=seed
    )


def incidents(servers: Sequence[str], seed: int, length: float) -> list[ServerLoss]:
    """Two of them, drawn from the seed: whom, how, and when."""
    draw = random.Random(f"incidents:{seed}")
    found = []
    for first, last in BETWEEN:
        broke = length * draw.uniform(first, last)
        found.append(
            ServerLoss(draw.choice(list(servers)), draw.choice(WAYS), broke, broke + max(8.0, LASTS * length))
        )
    return found


def replay(
    fleet: PlannedFleet,
    trace: Trace,
    happening: Sequence[ServerLoss],
    *,
    seed: int = 0,
    timeout: float = 60.0,
    on_event: Callable[[Progress], None] = lambda _: None,
    lab: str | None = None,
) -> Record:
    """Send the day through the door, open-loop; servers are lost and come back at their times.

    :raises LabError: when a server that was lost does not start again, or the client fails.
    """
    due = sorted(
        [(each.broke, each.how, each.server) for each in happening]
        + [(each.restored, "back", each.server) for each in happening]
    )
    threads: list[threading.Thread] = []

    def heard(progress: Progress) -> None:
        while progress.phase == "run" and due and progress.elapsed >= due[0][0]:
            _, how, server = due.pop(0)
            if how == "back":
                # A server that starts takes a moment, and who listens here tells how far the day is.
                threads.append(threading.Thread(target=fleet.restore, args=(server,)))
                threads[-1].start()
            else:
                (fleet.kill if how == "killed" else fleet.hang)(server)
        on_event(progress)

    note = "; ".join(f"{each.server} {each.how} {each.broke:.1f}–{each.restored:.1f} s" for each in happening)
    try:
        return measure(
            fleet.target,
            [days.plan(trace, seed=seed, timeout=timeout)],
            on_event=heard,
            lab=lab,
            note=note or None,
            label="the day",
        )
    finally:
        for thread in threads:
            thread.join()
        fleet.restore()
