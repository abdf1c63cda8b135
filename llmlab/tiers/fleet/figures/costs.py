"""What a million output tokens cost against utilisation, for each way to keep servers, and where another becomes the cheapest."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter

from ....errors import LabError
from ....figures.cells import number, setting
from ....figures.crossings import crossing, money, rings
from ....figures.picture import Picture
from ....figures.style import INK, RULE, SERIES, dress, finish, mark_guess, new_figure
from ....figures.words import count, sentence_list
from ....records.schema import Table
from .columns import decades, rows_with

COLUMNS = "plan utilisation dollars priced"
#: The look of each by its place in `SERIES`, whichever of them a table holds.
PLANS = ("always on", "autoscaled", "scale to zero")
Points = list[tuple[float, float]]


def costs(table: Table, *, guess: Any = None) -> Picture:
    """US dollars for a million output tokens by utilisation of the fleet that is always on; a ring where the cheapest plan becomes another.

    :param guess: the utilisation that the reader predicted, 0 to 1; marked.
    :raises LabError: when no plan was computed for a utilisation above 0.
    """
    rows = [
        row for row in rows_with(table, COLUMNS, "no plan was computed") if number(row["utilisation"]) > 0 and number(row["dollars"]) > 0
    ]  # fmt: skip
    if not rows:
        raise LabError("Nothing to draw: no plan has a cost at a utilisation above 0.")
    names = list(dict.fromkeys(str(row["plan"]) for row in rows))
    names.sort(key=lambda name: PLANS.index(name) if name in PLANS else len(PLANS))
    plans = {
        name: sorted(
            (number(row["utilisation"]), number(row["dollars"])) for row in rows if str(row["plan"]) == name
        )
        for name in names
    }
    crossings = _crossings(plans)
    dates = sorted({str(row["priced"]) for row in rows if row["priced"]})
    figure = new_figure(7.6, 5.2)
    axes = figure.subplots()
    dress(
        axes, quantity="US dollars for a million output tokens (logarithmic)", below="utilisation of the fleet that is always on"
    )  # fmt: skip
    axes.set_yscale("log")
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    for place, (name, points) in enumerate(plans.items()):
        mark = SERIES[PLANS.index(name) if name in PLANS else len(PLANS) + place % 4]
        xs, ys = zip(*points, strict=True)
        axes.plot(
            xs, ys, color=mark.colour, linestyle=mark.dash, linewidth=2.2, marker=mark.marker, markersize=5.5,
            markevery=(place, max(1, len(xs) // 7)) if len(xs) > 7 else None, label=name, zorder=3,
        )  # fmt: skip
    axes.set_xlim(0, max(1.0, *(x for points in plans.values() for x, _ in points)))
    axes.margins(y=0.08)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
    decades(axes.yaxis)
    rings(axes, [(ring["at"], ring["dollars"], _share(ring["at"])) for ring in crossings])
    mark_guess(axes, guess)
    figure.legend(
        loc="outside lower center", ncols=3, frameon=False, fontsize=9.5, labelcolor=INK, handlelength=3.4
    )
    data: dict[str, Any] = {"plans": plans, "crossings": crossings, "priced": dates}
    return finish(figure, alt=_alt(plans, crossings), caption=_caption(table, data), data=data)


def _crossings(plans: dict[str, Points]) -> list[dict[str, Any]]:
    """Where the cheapest plan becomes another one: utilisation, dollars, who it was and who it is from there on."""
    low = max(points[0][0] for points in plans.values())
    high = min(points[-1][0] for points in plans.values())
    grid = sorted({x for points in plans.values() for x, _ in points if low <= x <= high})
    dollars = {}
    for name, points in plans.items():
        xs, ys = (np.log([point[axis] for point in points]) for axis in (0, 1))
        dollars[name] = np.exp(np.interp(np.log(grid), xs, ys))
    found = []
    for left in range(len(grid) - 1):
        before, after = (min(plans, key=lambda name: float(dollars[name][at])) for at in (left, left + 1))
        if before == after:
            continue
        ends = ((grid[at], float(dollars[before][at]), float(dollars[after][at])) for at in (left, left + 1))
        if where := crossing(*ends):
            found.append({"at": where[0], "dollars": where[1], "before": before, "after": after})
    return found


def _share(value: float) -> str:
    return f"{100 * value:.3g} %"


def _alt(plans: dict[str, Points], crossings: list[dict[str, Any]]) -> str:
    said = [
        "US dollars for a million output tokens, logarithmic, against the utilisation of the fleet that is always on."
    ]
    for name, points in plans.items():
        ends = dict.fromkeys((points[0], points[-1]))
        said.append(f"{name}: " + ", ".join(f"{money(y)} at {_share(x)}" for x, y in ends) + ".")
    for ring in crossings:
        said.append(
            f"From {_share(ring['at'])} on, at {money(ring['dollars'])}, {ring['after']} is cheaper than {ring['before']}."
        )
    if len(plans) > 1 and not crossings:
        said.append("The cheapest is the same all along.")
    return " ".join(said)


def _caption(table: Table, data: dict[str, Any]) -> str:
    dates = sentence_list(data["priced"]) if data["priced"] else "no known date"
    n = sentence_list([f"{len(points)} ({name})" for name, points in data["plans"].items()])
    said = [f"Computed, not measured, from list prices of {dates}; points: {n}."]
    if rings_drawn := len(data["crossings"]):
        said.append(f"{count(rings_drawn, 'ring')}: from there on another plan is the cheapest.")
    return " ".join([*said, setting(table)])
