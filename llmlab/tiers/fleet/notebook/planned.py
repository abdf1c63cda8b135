"""The learner's plan as a notebook handles it: `plan = lab.plan()`, `plan.sizes()`, `plan.needed().plot()`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ....capacity import plan as plans
from ....capacity import sizing
from ....capacity.calibrate import calibrate
from ....capacity.plan import HERE, Promise, ServicePlan
from ....capacity.speeds import Speeds
from ....errors import LabError
from ....plain import plain
from ....records.schema import Cell
from ....show.bars import steps_bar
from ....show.kept import keep
from ....show.shown import Drawn, Shown, shown
from .. import figures
from ..calibrated import calibration_in
from ..forecasts import costs_at, far
from ..measured import SHARES, measured_points

if TYPE_CHECKING:
    from ....show.bench import Bench

SEEDS = 3  # days that a number of servers is drawn from
LOADS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # servers that are busy all the time
UTILISED = (0.002, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7)


def planned(lab: Bench) -> Planned:
    """The plan of plan.toml: `plan = lab.plan()`."""
    return Planned(lab)


class Planned:
    """The plan as the file says it now; each call reads it anew."""

    def __init__(self, lab: Bench) -> None:
        self.lab = lab  # whose plan it is

    def _now(self) -> tuple[ServicePlan, Speeds]:
        plan = plans.read(self.lab.files / plans.NAME)
        record = calibration_in(plan, self.lab.files)
        if record is None:
            raise LabError("Nothing is known of how fast your servers are.", fix="fleet.calibrate()")
        return plan, calibrate([record], accept_noise=True).speeds

    @shown
    def sizes(self) -> Shown:
        """Each tier's day by simulation: the share of requests for which the promise was kept, with one server less, and the price."""
        plan, speeds = self._now()
        rows: list[tuple[str, str, str]] = []
        values: dict[str, Cell] = {}
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
                    rows.append(
                        [name, load, many[-1], "simulated", round(min(found)), round(max(found)), load, load]
                    )
                lines.append(
                    f"{name}: "
                    + ", ".join(
                        f"a load of {load:g} → {count}" for load, count in zip(LOADS, many, strict=True)
                    )
                )
        points = measured_points(self.lab.files / "records", plan.promise) if label == HERE else []
        for point in points:
            name, many_servers = f"{point.share:.0%} kept", point.servers
            rows.append(
                [
                    name,
                    point.load,
                    many_servers,
                    "measured",
                    many_servers,
                    many_servers,
                    point.low,
                    point.high,
                ]
            )
        if points:
            lines.append(f"measured by fleet.compare(): {len(points)} points")
        columns = {
            "slo": "what is promised",
            "load": "servers that are busy all the time",
            "servers": "needed, one of them spare",
            "kind": "simulated or measured",
            "low": "over three days",
            "high": "over three days",
            "load_low": "measured: kept with it",
            "load_high": "measured: not kept with it",
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
            f"{share:.1%} busy: " + ", ".join(f"{row[0]} ${row[2]:.2f}" for row in rows if row[1] == share)
            for share in UTILISED
        ]
        pays = _pays_from(rows)
        lines.append(
            f"always on is the cheapest from {pays:.0%} on" if pays else "always on is never the cheapest"
        )
        return Drawn(table, figures.costs, lines, {"always on pays from": pays})

    def _lines(self) -> list[str]:
        try:
            return plans.in_short(plans.read(self.lab.files / plans.NAME))
        except LabError as error:
            return error.lines()

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(plain(line) for line in self._lines())


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


def _at_load(plan: ServicePlan, label: str, load: float, share: float) -> ServicePlan:
    """The plan with one tier, for another load and share; its servers in one region, whatever it is for."""
    tier = msgspec.structs.replace(plan.tier[label], load=load, replicas=1, autoscale=None, home=())
    promise = msgspec.structs.replace(plan.promise, share=share)
    return msgspec.structs.replace(plan, tier={label: tier}, promise=promise)


def _said(promise: Promise) -> str:
    return f"first token within {promise.ttft_s:g} s, the whole within {promise.e2e_s:g} s"


def _unit(regions: Sequence[str]) -> str:
    return "region" if len(regions) > 1 else "server"
