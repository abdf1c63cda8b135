"""How many servers a load needs, for each of several SLOs: simulated lines with their intervals, measured points on them."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ....figures.cells import number, setting
from ....figures.picture import Picture
from ....figures.style import INK, QUIET, RULE, Mark, dress, finish, mark_guess, new_figure, series
from ....figures.words import count, sentence_list
from ....records.schema import Table
from .columns import decades, rows_with

COLUMNS = "slo load servers kind low high"
WIDE = 20  # beyond this ratio of the highest to the lowest load both axes are logarithmic
SPARE: dict[str, Any] = {"color": QUIET, "linestyle": (0, (1, 1.5)), "linewidth": 1.2}
Row = dict[str, Any]


def needed(table: Table, *, guess: Any = None) -> Picture:
    """Servers by mean load (in servers that are always busy), a line and its band for each SLO; measured ones are points with a bar.

    The dotted line is servers = load: no spare at all. Both axes are logarithmic where the loads span more than a factor of 20.

    :param guess: servers that the reader predicted; marked.
    :raises LabError: when nothing was simulated or measured.
    """
    rows = sorted(
        rows_with(table, COLUMNS, "no load was simulated or measured"), key=lambda row: number(row["load"])
    )
    least, most = number(rows[0]["load"]), number(rows[-1]["load"])
    figure = new_figure(7.6, 5.4)
    axes = figure.subplots()
    dress(axes, quantity="Servers that keep the SLO", below="mean load, in servers that are always busy")
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    wide = least > 0 and most / least > WIDE
    if wide:
        axes.set_xscale("log")
        axes.set_yscale("log")
    slos = list(
        dict.fromkeys(str(row["slo"]) for row in sorted(rows, key=lambda row: -number(row["servers"])))
    )
    handles: list[Any] = []
    for place, slo in enumerate(slos):
        mark = series(place)
        own = [row for row in rows if row["slo"] == slo]
        _line(axes, [row for row in own if row["kind"] == "simulated"], mark)
        _points(axes, [row for row in own if row["kind"] == "measured"], mark, 12 - 2.5 * min(place, 2))
        line: dict[str, Any] = {"color": mark.colour, "linestyle": mark.dash, "marker": mark.marker}
        handles.append(Line2D([], [], linewidth=2, label=slo, **line))
    axes.plot([least, most], [least, most], zorder=1.5, **SPARE)
    handles.append(Line2D([], [], label="no spare: servers = load", **SPARE))
    _limits(axes, rows, wide)
    mark_guess(axes, guess, along="y")
    if any(row["kind"] == "measured" for row in rows):
        look: dict[str, Any] = {"linestyle": "", "markeredgecolor": INK, "markerfacecolor": "white"}
        handles.append(Line2D([], [], marker="o", label="measured", **look))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5, labelcolor=INK, handlelength=3.2
    )  # fmt: skip
    data: dict[str, Any] = {
        "wide": wide,
        "slos": {slo: [row for row in rows if row["slo"] == slo] for slo in slos},
    }
    return finish(figure, alt=_alt(data["slos"]), caption=_caption(table, rows), data=data)


def _line(axes: Axes, rows: list[Row], mark: Mark) -> None:
    xs, ys, low, high = ([number(row[name]) for row in rows] for name in ("load", "servers", "low", "high"))
    axes.fill_between(xs, low, high, color=mark.colour, alpha=0.18, linewidth=0, zorder=2)
    axes.plot(xs, ys, color=mark.colour, linestyle=mark.dash, linewidth=2, zorder=3)


def _points(axes: Axes, rows: list[Row], mark: Mark, size: float) -> None:
    """Smaller from one SLO to the next: two at one place are both seen."""
    bar: dict[str, Any] = {"color": INK, "linewidth": 1.3, "markersize": 8, "zorder": 4}
    for row in rows:
        load, servers = number(row["load"]), number(row["servers"])
        axes.plot([load] * 2, [number(row["low"]), number(row["high"])], marker="_", **bar)
        axes.plot(_loads(row), [servers] * 2, marker="|", **bar)
        axes.plot(
            load, servers, mark.marker, color=mark.colour, markersize=size, markeredgecolor=INK, markeredgewidth=1.2, zorder=5
        )  # fmt: skip


def _loads(row: Row) -> tuple[float, float]:
    """Between which loads a measured one lies; both its own where nothing is said of it."""
    low, high = row.get("load_low"), row.get("load_high")
    own = number(row["load"])
    return (own if low is None else number(low), own if high is None else number(high))


def _limits(axes: Axes, rows: list[Row], wide: bool) -> None:
    top = max(max(number(row["high"]), number(row["servers"])) for row in rows)
    right = max(_loads(row)[1] for row in rows)
    if wide:
        left = min(number(row["load"]) for row in rows)
        bottom = min([left, *(number(row["servers"]) for row in rows)])
        axes.set_xlim(left / 1.15, right * 1.15)
        axes.set_ylim(bottom / 1.15, top * 1.25)
        decades(axes.xaxis)
        decades(axes.yaxis)
        return
    axes.set_xlim(0, right * 1.04 or 1)
    axes.set_ylim(0, top * 1.1 or 1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))


def _alt(slos: dict[str, list[Row]]) -> str:
    said = ["Servers that keep an SLO against the mean load, in servers that are always busy."]
    for slo, rows in slos.items():
        simulated = [row for row in rows if row["kind"] == "simulated"]
        measured = [row for row in rows if row["kind"] == "measured"]
        text = []
        if simulated:
            places = dict.fromkeys((0, len(simulated) // 2, len(simulated) - 1))
            text.append("simulated " + ", ".join(_at(simulated[place]) for place in places))
        if measured:
            text.append("measured " + ", ".join(map(_at, measured)))
            if simulated:
                outside = sum(_apart(row, simulated) for row in measured)
                text.append(
                    f"{len(measured) - outside} of {count(len(measured), 'measured point')} within the simulated interval"
                )
        said.append(f"{slo}: {'; '.join(text)}.")
    return " ".join(said)


def _apart(row: Row, simulated: list[Row]) -> bool:
    """Whether a measured interval and the simulated one have nothing in common (between two loads: the lower's least, the upper's most)."""
    low, high = _loads(row)
    below = [other for other in simulated if number(other["load"]) <= low] or simulated[:1]
    above = [other for other in simulated if number(other["load"]) >= high] or simulated[-1:]
    return number(row["high"]) < number(below[-1]["low"]) or number(row["low"]) > number(above[0]["high"])


def _at(row: Row) -> str:
    servers, low, high = (round(number(row[name])) for name in ("servers", "low", "high"))
    spread = "" if low == high else f" ({low:,} to {high:,})"
    ends = _loads(row)
    between = "" if ends[0] == ends[1] else f" ({ends[0]:.3g} to {ends[1]:.3g})"
    return f"{count(servers, 'server')}{spread} for a load of {number(row['load']):.3g}{between}"


def _caption(table: Table, rows: list[Row]) -> str:
    kinds = [str(row["kind"]) for row in rows]
    counted = [
        count(kinds.count(kind), f"{kind} point") for kind in ("simulated", "measured") if kind in kinds
    ]
    bars = "bands and bars: the interval over the seeds"
    if any(low != high for low, high in map(_loads, rows)):
        bars += "; bars across: from a load that was carried to one that was not"
    return f"{sentence_list(counted).capitalize()}; {bars}. {setting(table)}"
