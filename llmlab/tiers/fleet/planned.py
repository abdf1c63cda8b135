"""The learner's plan as a notebook handles it: `plan = lab.plan()`, `plan.sizes()`, `plan.needed().plot()`."""

from __future__ import annotations

import html
import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ...capacity import plan as plans
from ...capacity import sizing
from ...capacity.calibrate import calibrate, calibration
from ...capacity.fleet import Failure
from ...capacity.outcome import Became
from ...capacity.plan import HERE, Plan, Promise, Scaling
from ...capacity.simulate import simulate
from ...capacity.speeds import Speeds
from ...errors import LabError
from ...load import Progress, measure
from ...load.target import target
from ...machine import profile
from ...records import store
from ...records.schema import Cell, Record
from ...show.bars import steps_bar
from ...show.kept import keep
from ...show.shown import Drawn, Shown, shown
from ..regions import places
from . import figures
from .fleet import one_server

if TYPE_CHECKING:
    from ...show.bench import Bench

CALIBRATION = "calibration"  # the note of such a record
SEEDS = 3  # days that a number of servers is drawn from
LOADS = (1.0, 2.0, 4.0, 8.0)  # servers that are busy all the time
SHARES = (0.9, 0.95, 0.99)  # of the requests kept: three promises
UTILISED = (0.002, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)


def far() -> sizing.Distances:
    """Round trips between the regions, in seconds, as lab 13 has them."""
    there = places.regions()
    return {
        a: {b: one.rtt(other) / 1000 if a != b else 0.0 for b, other in there.items()}
        for a, one in there.items()
    }


def calibration_in(plan: Plan, folder: Path) -> Record | None:
    """The calibration that a plan stands on: the record that it names, else the newest one; None where there is none.

    :param folder: of the plan; `records/` lies in it.
    :raises LabError: when the record that it names is not there, or is no measurement of load.
    """
    if plan.speeds is None:
        newest = sorted((folder / "records").glob("*.json"), reverse=True)
        return next((found for path in newest if (found := _calibration(path)) is not None), None)
    path = folder / "records" / plan.speeds
    if not path.is_file():
        raise LabError(
            f"The plan stands on records/{plan.speeds}, and there is no such record.",
            where=f"{plans.NAME}: speeds",
            fix="fleet.calibrate(), and write the name of its record there",
        )
    found = store.read_any(path)
    if not isinstance(found, Record):
        raise LabError(
            f"records/{plan.speeds} is a table, and no measurement of load.",
            where=f"{plans.NAME}: speeds",
            fix="fleet.calibrate()",
        )
    return found


def _calibration(path: Path) -> Record | None:
    try:
        found = store.read_any(path)
    except LabError:
        return None
    return found if isinstance(found, Record) and found.note == CALIBRATION else None


def calibrated_now(
    slots: int,
    *,
    repeats: int | None = None,
    lab: str | None = None,
    on_event: Callable[[Progress], None] = lambda _: None,
) -> Record:
    """A server of the fleet's kind, alone, measured for what it takes to simulate it: a quarter of a minute each time."""
    times = repeats or (2 if profile() == "binder" else 3)
    with (
        tempfile.TemporaryDirectory(prefix="llmlab-calibration-") as folder,
        one_server(slots, Path(folder)) as server,
    ):
        return measure(
            target(server), calibration(slots), repeats=times, lab=lab, note=CALIBRATION, on_event=on_event
        )


def speeds_now(slots: int) -> Speeds:
    """The speeds of a server on this machine at this moment, however busy it is with other things."""
    return calibrate([calibrated_now(slots, repeats=1)], accept_noise=True).speeds


def speeds_for(plan: Plan, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> Speeds:
    """The speeds that a plan stands on: of the learner's record; where none was kept or handed in, this machine's, measured now.

    :raises LabError: as `calibration_in`, or when the record cannot carry them.
    """
    record = calibration_in(plan, folder)
    if record is None:
        say("no calibration was kept: one server is measured, about a minute")
        record = calibrated_now(plan.tier[HERE].slots)
    return calibrate([record], accept_noise=True).speeds


def leaving_home(plan: Plan, label: str, speeds: Speeds, *, home: str, seed: int) -> int:
    """How many requests of a region's users were served elsewhere, on a day and on one in which that region is lost in its busiest hour."""
    tier = plan.tier[label]
    if home not in tier.regions:
        return 0
    where, own = tier.regions.index(home), sizing.at(speeds, tier.slots)
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


def planned(lab: Bench) -> Planned:
    """The plan of plan.toml: `plan = lab.plan()`."""
    return Planned(lab)


class Planned:
    """The plan as the file says it now; each call reads it anew."""

    def __init__(self, lab: Bench) -> None:
        self.lab = lab

    def _now(self) -> tuple[Plan, Speeds]:
        plan = plans.read(self.lab.files / plans.NAME)
        record = calibration_in(plan, self.lab.files)
        if record is None:
            raise LabError("Nothing is known of how fast your servers are.", fix="fleet.calibrate()")
        return plan, calibrate([record], accept_noise=True).speeds

    @shown
    def sizes(self) -> Shown:
        """Each tier's day by simulation: the share of requests for which the promise was kept, with one server less, and the price."""
        plan, speeds = self._now()
        rows, values = [], {}
        with steps_bar("tier") as say:
            for label, tier in plan.tier.items():
                say(label)
                found = sizing.size(plan, label, speeds, far=far(), seed=self.lab.seed)
                sign = "✔" if found.holds(plan.promise) else "✘"
                rows.append(
                    (
                        f"{sign} {label}",
                        f"{found.servers:.1f} servers for a load of {tier.load:g}",
                        f"{found.share:.1%} kept, {found.one_less:.1%} in the busiest hour with one {_unit(tier.regions)} less; "
                        f"TTFT p95 {found.ttft_p95_s:.2f} s; ${found.per_million:.2f} a million tokens",
                    )
                )
                values |= {
                    f"{label} kept": found.share,
                    f"{label} one less": found.one_less,
                    f"{label} dollars": found.per_million,
                }
        note = f"promised: {plan.promise.share:.0%} of all requests, {_said(plan.promise)}; simulated with the speeds of your calibration"
        return Shown(rows, [note], ("tier", "the plan", "its day"), values=values)

    @shown
    def needed(self, label: str = HERE) -> Drawn:
        """How many servers which load needs, one of them spare, when 90, 95 and 99 % of the requests are to be kept; three days each."""
        plan, speeds = self._now()
        rows: list[list[Cell]] = []
        lines = []
        with steps_bar("step") as say:
            for share in SHARES:
                name, many = f"{share:.0%} kept", []
                for load in LOADS:
                    say(f"{name}, load {load:g}")
                    tried = _at_load(plan, label, load, share)
                    found = [
                        sizing.cheapest(tried, label, speeds, far=far(), seed=self.lab.seed + n).servers
                        for n in range(SEEDS)
                    ]
                    many.append(round(float(np.median(found))))
                    rows.append([name, load, many[-1], "simulated", round(min(found)), round(max(found))])
                lines.append(
                    f"{name}: "
                    + ", ".join(
                        f"a load of {load:g} → {count}" for load, count in zip(LOADS, many, strict=True)
                    )
                )
        columns = {
            "slo": "what is promised",
            "load": "servers that are busy all the time",
            "servers": "needed, one of them spare",
            "kind": "simulated or measured",
            "low": "over three days",
            "high": "over three days",
        }
        table = keep(self.lab, "needed", columns, rows)[0]
        at_four = next(row[2] for row in rows if row[:2] == [f"{SHARES[0]:.0%} kept", 4.0])
        return Drawn(table, figures.needed, lines, {"servers for a load of 4": at_four})

    @shown
    def costs(self, label: str = HERE) -> Drawn:
        """What a million output tokens cost against how busy the servers are: always on, autoscaled, scaled to zero."""
        plan, speeds = self._now()
        rows: list[list[Cell]] = []
        date = sizing.priced()
        with steps_bar("step") as say:
            for share in UTILISED:
                say(f"{share:.0%} busy")
                for name, dollars in costs_at(plan, label, speeds, share, self.lab.seed).items():
                    rows.append([name, share, dollars, date])
        columns = {
            "plan": "when servers are there",
            "utilisation": "mean work, as a share of what four servers can do",
            "dollars": "US dollars for a million output tokens",
            "priced": "the date of the price",
        }
        table = keep(self.lab, "costs", columns, rows)[0]
        lines = [
            f"{share:.0%} busy: " + ", ".join(f"{row[0]} ${row[2]:.2f}" for row in rows if row[1] == share)
            for share in UTILISED
        ]
        pays = _pays_from(rows)
        lines.append(
            f"always on is the cheapest from {pays:.0%} on" if pays else "always on is never the cheapest"
        )
        return Drawn(table, figures.costs, lines, {"always on pays from": pays})

    def _lines(self) -> list[str]:
        try:
            plan = plans.read(self.lab.files / plans.NAME)
        except LabError as error:
            return error.lines()
        lines = [f"promised: {plan.promise.share:.0%} of all requests, {_said(plan.promise)}"]
        for label, tier in plan.tier.items():
            scale = tier.autoscale
            many = f"{scale.min} to {scale.max} servers" if scale else f"{sum(tier.servers)} servers"
            where = f" in {', '.join(tier.regions)}" if len(tier.regions) > 1 else ""
            lines.append(f"{label}: {many} of {tier.slots} slots{where}, for a load of {tier.load:g}")
        return lines

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(html.escape(line) for line in self._lines())


def _pays_from(rows: Sequence[Sequence[Cell]]) -> float | None:
    """The utilisation from which on servers that are always on are the cheapest, on a straight line between two points; None: never."""
    gaps = []
    for share in UTILISED:
        dollars = {str(row[0]): float(row[2] or 0) for row in rows if row[1] == share}
        others = [price for name, price in dollars.items() if name != "always on"]
        gaps.append(math.log(dollars["always on"] / min(others)))
    if gaps[-1] > 0:
        return None
    last = max((number for number, gap in enumerate(gaps) if gap > 0), default=-1)
    if last < 0:
        return UTILISED[0]
    low, high = UTILISED[last], UTILISED[last + 1]
    return low + (high - low) * gaps[last] / (gaps[last] - gaps[last + 1])


def costs_at(plan: Plan, label: str, speeds: Speeds, share: float, seed: int) -> dict[str, float]:
    """Dollars for a million output tokens when the load keeps four servers `share` busy, in three ways (those that serve anything)."""
    tier = plan.tier[label]
    four = 4
    ways = {
        "always on": {"replicas": four, "autoscale": None},
        "autoscaled": {
            "replicas": None,
            "autoscale": Scaling(min=1, max=2 * four, target=0.6 * tier.slots, startup_s=20.0),
        },
        "scale to zero": {
            "replicas": None,
            "autoscale": Scaling(min=0, max=2 * four, target=0.6 * tier.slots, startup_s=20.0),
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


def _at_load(plan: Plan, label: str, load: float, share: float) -> Plan:
    """The plan with one tier, for another load and share; its servers in one region, whatever it is for."""
    tier = msgspec.structs.replace(plan.tier[label], load=load, replicas=1, autoscale=None, home=())
    promise = msgspec.structs.replace(plan.promise, share=share)
    return msgspec.structs.replace(plan, tier={label: tier}, promise=promise)


def _said(promise: Promise) -> str:
    return f"first token within {promise.ttft_s:g} s, the whole within {promise.e2e_s:g} s"


def _unit(regions: Sequence[str]) -> str:
    return "region" if len(regions) > 1 else "server"
