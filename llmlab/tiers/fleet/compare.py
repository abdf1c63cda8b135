"""The simulator held against real servers at several numbers of them: the same stairs of load for both, one number after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from ...capacity import plan as plans
from ...capacity import trace as days
from ...capacity.calibrate import calibrate, calibration
from ...capacity.held_against import Pair, held_against
from ...capacity.outcome import Became, Forecast
from ...capacity.plan import HERE, PlannedTier, Promise, ServicePlan
from ...capacity.simulate import simulate
from ...capacity.sizing import at, slo
from ...capacity.speeds import Speeds
from ...capacity.stairs import LargestLoad, Staircase, largest, staircase
from ...errors import LabError
from ...load import Progress, closed, measure
from ...load.background import kept_busy
from ...load.target import target
from ...machine import profile
from ...records.schema import Cell, Record, Run
from .fleet import PlannedFleet

MOST = 8  # servers on one machine
LONG = {"binder": 40.0}  # seconds of the stairs, at each number of servers; elsewhere
USUAL = 80.0
TIMEOUT = 60.0  # seconds after which a request is given up
#: What a table says of each figure at each number of servers, one row a repetition.
ERRORS = {
    "servers": "of the fleet",
    "measure": "what is compared",
    "real": "s, or a share",
    "simulated": "s, or a share",
    "error": "simulated / real - 1",
    "repeat": "which replay",
    "foreign": "CPU taken by others, as a share of the machine's",
}
#: And of the largest load with which a promise was kept.
LARGEST = {
    "servers": "that had it",
    "share": "of the requests, promised",
    "ttft_s": "promised",
    "e2e_s": "promised",
    "load": "the largest with which the promise was kept, in servers that are always busy",
    "low": "kept with it in every repetition",
    "high": "not kept with it in any",
    "simulated": "the same stairs",
    "repeats": "real replays",
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A number of servers on their stairs, real and simulated."""

    servers: int
    calibration: Record  # of one of them, while the others were as busy as they can be
    speeds: Speeds  # by that
    stairs: Staircase
    record: Record  # of the real ones, a run a repetition
    simulated: Forecast
    promise: Promise

    def simulated_shares(self) -> list[float]:
        """For which share of each stair's requests the promise was kept by simulation."""
        found = self.simulated
        kept = (found.status == Became.SERVED) & (found.ttft_s <= self.promise.ttft_s)
        return self.stairs.shares(kept & (found.e2e_s <= self.promise.e2e_s))

    def real_shares(self) -> list[list[float]]:
        """The same of the real ones, by repetition."""
        return [self._shares(run) for run in self.record.runs]

    def _shares(self, run: Run) -> list[float]:
        met = {sample.n: slo(self.promise).met(sample) for sample in run.samples}
        return self.stairs.shares([met.get(number, False) for number in range(len(self.stairs.trace))])


def compare(
    plan: ServicePlan,
    *,
    servers: Iterable[int] = (1, 2, 3),
    seconds: float | None = None,
    repeats: int = 1,
    seed: int = 0,
    lab: str | None = None,
    say: Callable[[str], None] = lambda _: None,
    on_event: Callable[[Progress], None] = lambda _: None,
) -> Iterator[Comparison]:
    """Deploy the tier `here` once, with the most servers, and take one away after another; each number of them has its stairs.

    Speeds depend on how many servers are busy where there are fewer cores than servers. So each number has a calibration of its own, of
    one server while the others generate all the time.

    :param seconds: of the stairs, at each number of servers; None: 80, and half of it on a machine of the profile binder.
    :param repeats: how often the calibration is made and the stairs are replayed, in turn; the simulation has the speeds of all rounds.
    :raises LabError: for a number of servers that cannot be here, or as `PlannedFleet` and `calibrate` do.
    """
    sizes = sorted(set(servers), reverse=True)
    lasts = seconds or LONG.get(profile(), USUAL)
    if not sizes or sizes[-1] < 1 or sizes[0] > MOST or repeats < 1:
        raise LabError(
            f"servers={sizes} and repeats={repeats} cannot be compared here.",
            fix=f"servers=(1, 2, 3), at most {MOST}, and repeats=1",
        )
    tier = msgspec.structs.replace(plan.tier[HERE], replicas=sizes[0])
    with PlannedFleet(msgspec.structs.replace(plan, tier={HERE: tier}), say=say) as fleet:
        names = list(fleet.servers)
        for many in sizes:
            for name in names[many:]:
                if fleet.servers[name].running:
                    fleet.kill(name)
            say(f"the door, with {many} servers")
            fleet.ready(lost=sizes[0] - many)
            yield _at(fleet, plan, tier, names[:many], lasts, repeats, seed, lab, say, on_event)


def _at(
    fleet: PlannedFleet,
    plan: ServicePlan,
    tier: PlannedTier,
    names: Sequence[str],
    seconds: float,
    repeats: int,
    seed: int,
    lab: str | None,
    say: Callable[[str], None],
    on_event: Callable[[Progress], None],
) -> Comparison:
    many = len(names)
    first, *others = (fleet.servers[name] for name in names)
    usual = closed(tier.slots, requests=200, prompt_tokens=96, max_tokens=48, warmup=0)
    pids = [server.pid for server in (first, *others)] + [fleet.door.pid]
    door = replace(fleet.target, pid=tuple(pid for pid in pids if pid))
    calibrations: list[Record] = []
    replays: list[Record] = []
    stairs: Staircase | None = None
    # In turn: a machine that is faster at one time than at another is so for both.
    for number in range(repeats):
        say(f"{many} of {many} servers busy: how fast each is ({number + 1} of {repeats})")
        with kept_busy([target(other) for other in others], usual) if others else nullcontext():
            calibrations.append(
                measure(
                    target(first), calibration(tier.slots), lab=lab, on_event=on_event, note=f"{many} busy"
                )
            )
        fleet.idle()
        if stairs is None:
            speeds = at(calibrate(calibrations, accept_noise=True).speeds, tier.slots)
            stairs = staircase(tier, speeds, many, seconds=seconds, seed=seed)
        say(f"{many} servers: {len(stairs.trace)} requests in {seconds:g} s ({number + 1} of {repeats})")
        replays.append(
            measure(
                door,
                [days.plan(stairs.trace, seed=seed, timeout=TIMEOUT)],
                lab=lab,
                on_event=on_event,
                note=f"{many} servers",
            )
        )
        fleet.idle()
    assert stairs is not None
    measured, record = _rounds(calibrations), _rounds(replays)
    speeds = at(calibrate([measured], accept_noise=True).speeds, tier.slots)
    own = plans.replicas(plan, msgspec.structs.replace(tier, replicas=many), round_trip={})
    return Comparison(
        servers=many,
        calibration=measured,
        speeds=speeds,
        stairs=stairs,
        record=record,
        simulated=simulate(stairs.trace, at(speeds, plans.slots_used(plan, tier)), own),
        promise=plan.promise,
    )


def _rounds(records: Sequence[Record]) -> Record:
    """The same measurement, made several times, as one record: each time is a round of it."""
    runs = [
        msgspec.structs.replace(run, repeat=number)
        for number, each in enumerate(records)
        for run in each.runs
    ]
    return msgspec.structs.replace(records[0], runs=runs)


def error_rows(found: Iterable[Comparison]) -> list[list[Cell]]:
    """Rows for `ERRORS`, by number of servers."""
    rows: list[list[Cell]] = []
    for each in sorted(found, key=lambda each: each.servers):
        for number, run in enumerate(each.record.runs):
            alone = msgspec.structs.replace(each.record, runs=[run])
            pair = Pair(servers=each.servers, record=alone, simulated=each.simulated)
            rows += [
                [row["servers"], row["figure"], row["real"], row["simulated"], row["error"], number, run.noise.foreign_cpu]
                for row in held_against([pair], slo(each.promise)).dicts()
            ]  # fmt: skip
    return rows


def largest_rows(found: Iterable[Comparison], promised: Sequence[float]) -> list[list[Cell]]:
    """Rows for `LARGEST`, by number of servers and promised share; none where the promise was not even kept on the first stair."""
    rows: list[list[Cell]] = []
    for each in sorted(found, key=lambda each: each.servers):
        loads, promise = each.stairs.loads, each.promise
        for share in promised:
            real = [largest(loads, kept, share) for kept in each.real_shares()]
            simulated = largest(loads, each.simulated_shares(), share)
            known = [up_to.load for up_to in real if up_to.load is not None]
            low = min(up_to.low for up_to in real)
            if known:
                ends: list[Cell] = [float(np.median(known)), low, _highest(real), simulated.load, len(real)]
                rows.append([each.servers, share, promise.ttft_s, promise.e2e_s, *ends])
    return rows


def _highest(real: Sequence[LargestLoad]) -> float | None:
    """A load with which the promise was not kept in any repetition; None: in one it was kept on all stairs."""
    ends = [each.high for each in real]
    return None if None in ends else max(end for end in ends if end is not None)


def said(found: Iterable[Comparison]) -> list[str]:
    """The errors as lines of text: real (median, and range over the repetitions), simulated, error, what others took of the machine."""
    lines = ["servers  measure   real                          simulated    error  foreign CPU"]
    for each in sorted(found, key=lambda each: each.servers):
        pair = Pair(servers=each.servers, record=each.record, simulated=each.simulated)
        foreign = [run.noise.foreign_cpu for run in each.record.runs if run.noise.foreign_cpu is not None]
        others = f"{min(foreign):.0%} to {max(foreign):.0%}" if foreign else "unknown"
        for row in held_against([pair], slo(each.promise)).dicts():
            real = "too few requests"
            if row["real"] is not None:
                real = f"{row['real']:.3g} [{row['low']:.3g} to {row['high']:.3g}] {row['unit']}"
            error = "" if row["error"] is None else f"{row['error']:+.0%}"
            guess = "" if row["simulated"] is None else f"{row['simulated']:.3g}"
            lines.append(
                f"{each.servers:>7}  {row['figure']:<8}  {real:<28}  {guess:>9}  {error:>7}  {others}"
            )
    return lines
