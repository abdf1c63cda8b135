"""What a million output tokens cost against the traffic: plans that scale to zero, plans that stay, and where they cross."""

from __future__ import annotations

from typing import Any

from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from ....figures.cells import number, rows_of, setting
from ....figures.crossings import crossing, money, rings
from ....figures.picture import Picture
from ....figures.style import INK, RULE, SERIES, dress, finish, mark_guess, new_figure
from ....figures.words import count, sentence_list
from ....records.schema import Table

#: The look of each plan of data/serverless.toml, the same in every figure, by its place in `SERIES`; others take what is left.
LOOKS = (
    "Cloud Run, billed by request",
    "Cloud Run, billed by instance",
    "Fargate",
    "Fargate, reserved for a year",
    "Container Instances",
    "EC2",
)
Curve = list[tuple[float, float]]


def costs(table: Table, *, guess: Any = None) -> Picture:
    """US dollars for a million output tokens by requests an hour, both axes logarithmic; a ring where a plan stops being the cheaper one.

    A ring stands where a plan that scales to zero begins to cost more than the cheapest of those that stay, read between two rows.

    :param guess: requests an hour that the reader predicted; marked.
    :raises LabError: when nothing was computed.
    """
    rows = rows_of(table, "costs", "no plan was computed")
    plans = [
        _curve(name, [row for row in rows if str(row["plan"]) == name])
        for name in dict.fromkeys(str(row["plan"]) for row in rows)
    ]
    staying = [plan for plan in plans if plan["stays"]]
    for plan in plans:
        plan["crosses"] = None if plan["stays"] else _crossing(plan, staying)
    dates = sorted({str(row["priced"]) for row in rows if row["priced"]})
    data: dict[str, Any] = {"plans": plans, "priced": dates}
    figure = new_figure(7.6, 5.2)
    axes = figure.subplots()
    dress(axes, quantity="US dollars for a million output tokens", below="requests an hour (logarithmic)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    for place, plan in enumerate(plans):
        own = LOOKS.index(plan["plan"]) if plan["plan"] in LOOKS else len(LOOKS) + place
        mark = SERIES[own % len(SERIES)]
        xs, ys = zip(*plan["points"], strict=True)
        axes.plot(
            xs, ys, color=mark.colour, linestyle=mark.dash, linewidth=2.4 if not plan["stays"] else 1.6,
            marker=mark.marker, markersize=5.5, markevery=(place, max(1, len(xs) // 7)), label=plan["plan"], zorder=3,
        )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(base=10, numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.02, y=0.06)
    crossed = [plan["crosses"] for plan in plans if plan["crosses"]]
    rings(axes, [(each["at"], each["dollars"], _hourly(each["at"])) for each in crossed])
    mark_guess(axes, guess)
    figure.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=9.5, labelcolor=INK, handlelength=3.4
    )
    return finish(figure, alt=_alt(plans), caption=_caption(table, data), data=data)


def _curve(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One plan: its points in the order of the traffic, and how many requests wait for a cold start at both ends."""
    rows = sorted(rows, key=lambda row: number(row["requests_per_hour"]))
    return {
        "plan": name,
        "stays": bool(rows[0]["stays"]),
        "points": [(number(row["requests_per_hour"]), number(row["dollars"])) for row in rows],
        "cold": [number(row["cold"]) for row in rows],
        "instances": [number(row["instances"]) for row in rows],
    }


def _crossing(plan: dict[str, Any], staying: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Where it begins to cost more than the cheapest that stays: requests an hour, dollars, and who that is."""
    before: tuple[float, float, float] | None = None  # traffic, own dollars, theirs
    for x, own in plan["points"]:
        others = [
            (y, str(other["plan"])) for other in staying for at, y in other["points"] if at == x and y > 0
        ]
        if not others:
            continue
        theirs, who = min(others)
        if own > theirs and before is not None:
            found = crossing(before, (x, own, theirs))
            return {"at": found[0], "dollars": found[1], "than": who} if found else None
        before = (x, own, theirs) if own <= theirs else None
    return None


def _hourly(value: float) -> str:
    text = f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
    return f"{text} request{'' if text == '1' else 's'}/h"


def _alt(plans: list[dict[str, Any]]) -> str:
    said = ["US dollars for a million output tokens against requests an hour, both logarithmic."]
    for plan in plans:
        (x0, y0), (x1, y1) = plan["points"][0], plan["points"][-1]
        text = f"{plan['plan']}: {money(y0)} at {_hourly(x0)}"
        if x1 > x0:
            text += f", {money(y1)} at {_hourly(x1)}"
        if plan["crosses"]:
            text += f"; from {_hourly(plan['crosses']['at'])} on dearer than {plan['crosses']['than']}"
        elif not plan["stays"] and any(other["stays"] for other in plans):
            text += "; it crosses none that stays"
        said.append(text + ".")
    return " ".join(said)


def _caption(table: Table, data: dict[str, Any]) -> str:
    crossed = [plan for plan in data["plans"] if plan["crosses"]]
    dates = sentence_list(data["priced"]) if data["priced"] else "no known date"
    said = [f"Computed from one instance's measured rate and list prices of {dates}, without free tiers."]
    if crossed:
        said.append(
            f"{count(len(crossed), 'ring')}: from there on the cheapest plan that stays costs less; it has no cold start."
        )
    if zero := [plan for plan in data["plans"] if not plan["stays"]]:
        least = zero[0]["points"][0][0]
        shares = sentence_list([f"{100 * plan['cold'][0]:.0f} % ({plan['plan']})" for plan in zero])
        said.append(f"Of the requests at {_hourly(least)}, so many wait for a cold start: {shares}.")
    return " ".join([*said, setting(table)])
