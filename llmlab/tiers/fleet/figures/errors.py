"""How far the simulator was from the servers: a panel for each number of them, a row for each measure, a dot for each repeat."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ....figures.cells import number, setting
from ....figures.picture import Picture
from ....figures.style import BLUE, FAILED, INK, QUIET, dress, finish, new_figure
from ....figures.words import count, sentence_list
from ....records.schema import Table
from .columns import rows_with

COLUMNS = "servers measure real simulated error repeat"
BOUND = 0.15  # what the simulator promises
WIDEST = 0.5  # an error beyond stands at the edge, with an arrow
GROUND = "#E2E2E2"
Row = dict[str, Any]


def errors(table: Table) -> Picture:
    """The simulator's error (simulated / real - 1): on the grey ground within ±15 %; outside it another mark, with its number.

    :raises LabError: when nothing was both simulated and measured.
    """
    rows = rows_with(table, COLUMNS, "nothing was both simulated and measured")
    sizes = sorted({int(number(row["servers"])) for row in rows})
    measures = list(dict.fromkeys(str(row["measure"]) for row in rows))
    known = [row for row in rows if isinstance(row["error"], int | float) and math.isfinite(row["error"])]
    outside = [row for row in known if abs(row["error"]) > BOUND]
    # 1.6: room for the number of the farthest
    limit = 1.6 * max([BOUND, *(abs(_at(row["error"])) for row in known)])
    figure = new_figure(8.4, 2.0 + 0.36 * len(measures))
    panels = np.atleast_1d(figure.subplots(1, len(sizes), sharex=True, sharey=True))
    for axes, size in zip(panels, sizes, strict=True):
        dress(axes, quantity=count(size, "server"), below="simulated / real − 1")
        axes.axvspan(-BOUND, BOUND, color=GROUND, zorder=0)
        axes.axvline(0, color=QUIET, linewidth=1, zorder=1)
        for place, measure in enumerate(measures):
            own = [row for row in known if row["servers"] == size and row["measure"] == measure]
            _row(axes, place, own)
        axes.set_xlim(-limit, limit)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 1.5, 2, 3, 5, 10], symmetric=True))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: _percent(value) if abs(value) > 1e-9 else "0")
        )
    panels[0].set_yticks(range(len(measures)), measures)
    panels[0].set_ylim(len(measures) - 0.4, -0.6)
    figure.legend(
        handles=_legend(known),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    groups = [
        _group(size, measure, [row for row in known if row["servers"] == size and row["measure"] == measure])
        for size in sizes
        for measure in measures
    ]
    data = {"groups": [group for group in groups if group["n"]], "outside": len(outside), "n": len(known)}
    return finish(figure, alt=_alt(data), caption=_caption(table, rows, data), data=data)


def _row(axes: Axes, place: int, rows: list[Row]) -> None:
    """The dots of one measure, one below the other; of those outside, the farthest on each side has its number."""
    rows = sorted(rows, key=lambda row: number(row["repeat"]))
    outside: dict[
        bool, tuple[float, float]
    ] = {}  # whether it is above → the error and its height, of the farthest
    for turn, row in enumerate(rows):
        error = number(row["error"])
        height = place + (0.4 * (turn / (len(rows) - 1) - 0.5) if len(rows) > 1 else 0)
        if abs(error) <= BOUND:
            axes.plot(error, height, "o", color=BLUE, markersize=5.5, alpha=0.85, zorder=3)
            continue
        farther = ">" if error > 0 else "<"
        shape = FAILED.marker if abs(error) <= WIDEST else farther
        axes.plot(_at(error), height, shape, color=FAILED.ink, markersize=6.5, markeredgewidth=1.8, zorder=4)
        if abs(error) > abs(outside.get(error > 0, (0.0, 0.0))[0]):
            outside[error > 0] = error, height
    for above, (error, height) in outside.items():
        axes.annotate(
            _percent(error), (_at(error), height), xytext=(7 if above else -7, 0), textcoords="offset points", fontsize=9,
            fontweight="bold", color=FAILED.ink, ha="left" if above else "right", va="center", zorder=5,
        )  # fmt: skip


def _at(error: float) -> float:
    """Where it stands on the axis."""
    return max(-WIDEST, min(WIDEST, error))


def _legend(rows: list[Row]) -> list[Any]:
    cross: dict[str, Any] = {
        "color": FAILED.ink,
        "marker": FAILED.marker,
        "markeredgewidth": 1.8,
        "linestyle": "",
    }
    handles: list[Any] = [
        Patch(facecolor=GROUND, label=f"within ±{BOUND:.0%}".replace("%", " %")),
        Line2D([], [], color=BLUE, marker="o", linestyle="", label="a repeat, within"),
        Line2D([], [], label="outside; the farthest is named", **cross),
    ]
    if any(abs(row["error"]) > WIDEST for row in rows):
        handles.append(Line2D([], [], label=f"beyond {100 * WIDEST:.0f} %", **{**cross, "marker": ">"}))
    return handles


def _group(size: int, measure: str, rows: list[Row]) -> dict[str, Any]:
    found = [float(row["error"]) for row in rows]
    return {
        "servers": size,
        "measure": measure,
        "n": len(found),
        "median": float(np.median(found)) if found else math.nan,
        "low": min(found, default=math.nan),
        "high": max(found, default=math.nan),
        "outside": sum(abs(error) > BOUND for error in found),
    }


def _percent(share: float) -> str:
    return f"{100 * share:+.0f} %".replace("-", "−")


def _outside(groups: list[dict[str, Any]]) -> str:
    """Those that are not within the bound, each by its measure and number of servers."""
    return "; ".join(
        f"{group['measure']} at {count(group['servers'], 'server')}, {_percent(max(group['low'], group['high'], key=abs))}"
        f" ({group['outside']} of {group['n']})"
        for group in groups
        if group["outside"]
    )


def _alt(data: dict[str, Any]) -> str:
    said = [
        f"Error of the simulator against real servers: {data['n'] - data['outside']} of {data['n']} comparisons are within ±15 %."
    ]
    for size in dict.fromkeys(group["servers"] for group in data["groups"]):
        own = [group for group in data["groups"] if group["servers"] == size]
        said.append(
            f"{count(size, 'server')}: medians from {_percent(min(group['median'] for group in own))}"
            f" to {_percent(max(group['median'] for group in own))}."
        )
    if data["outside"]:
        said.append(f"Outside: {_outside(data['groups'])}.")
    return " ".join(said)


def _caption(table: Table, rows: list[Row], data: dict[str, Any]) -> str:
    repeats = len({number(row["repeat"]) for row in rows})
    measures = sentence_list(list(dict.fromkeys(str(row["measure"]) for row in rows)))
    said = [f"{measures}; {count(repeats, 'repeat')}, each a dot."]
    if missing := len(rows) - data["n"]:
        said.append(f"{count(missing, 'comparison')} without a number.")
    said.append(f"Outside ±15 %: {_outside(data['groups'])}." if data["outside"] else "All are within ±15 %.")
    return " ".join([*said, setting(table)])
