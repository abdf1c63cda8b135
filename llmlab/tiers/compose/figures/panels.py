"""A Grafana dashboard's panels, drawn from what Prometheus answers to their queries."""

from __future__ import annotations

import math
import re
from typing import Any

from matplotlib.axes import Axes

from ....errors import LabError
from ....figures import words
from ....figures.picture import Picture
from ....figures.style import INK, QUIET, dress, finish, from_zero, new_figure, series
from ....records.schema import Table

MOST = 12  # panels
LINES = 5  # series of one panel that are drawn
UNITS = {"percentunit": "%", "s": "s", "percent": "%", "bytes": "bytes", "ms": "ms"}


def panels(table: Table) -> Picture:
    """One small chart for each panel, in the dashboard's order; a panel without data says so.

    The x axis is seconds before the last look, the same for all.

    :raises LabError: when the table names no panel.
    """
    rows = table.dicts()
    names = list(dict.fromkeys(str(row["panel"]) for row in rows))[:MOST]
    if not names:
        raise LabError("The dashboard has no panels.", where="dashboard.json")
    times = [float(row["time"]) for row in rows if isinstance(row["time"], int | float)]
    start = min(times, default=-60.0)
    columns = 2 if len(names) > 1 else 1
    lines = math.ceil(len(names) / columns)
    figure = new_figure(7.6, 0.5 + 2.0 * lines)
    grid = figure.subplots(lines, columns, squeeze=False)
    data: dict[str, Any] = {"panels": []}
    for number, axes in enumerate(grid.flat):
        if number >= len(names):
            axes.set_axis_off()
            continue
        own = [row for row in rows if row["panel"] == names[number]]
        last = number >= len(names) - columns
        data["panels"].append(_panel(axes, names[number], own, start, below=last))
    return finish(
        figure, alt=_alt(data["panels"]), caption=_caption(table, data["panels"], -start), data=data
    )


def _panel(axes: Axes, name: str, rows: list[dict[str, Any]], start: float, *, below: bool) -> dict[str, Any]:
    raw = next((str(row["unit"]) for row in rows if row["unit"]), "")
    unit = UNITS.get(raw, "")
    factor = 100.0 if raw == "percentunit" else 1.0
    dress(axes, quantity=_fitted(name, unit), below="seconds before now" if below else None)
    axes.set_xlim(start, 0)
    lines: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["value"] is not None and row["time"] is not None:
            lines.setdefault(str(row["series"]), []).append(
                (float(row["time"]), factor * float(row["value"]))
            )
    if not lines:
        axes.set_ylim(0, 1)
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", fontsize=12, color=QUIET
        )
        return {"panel": name, "unit": unit, "series": {}}
    top = 0.0
    for place, (_, points) in enumerate(list(lines.items())[:LINES]):
        mark = series(place)
        axes.plot(*zip(*points, strict=True), color=mark.colour, linestyle=mark.dash, linewidth=1.6, zorder=3)
        if len(points) == 1:
            axes.plot(*points[0], color=mark.colour, marker=mark.marker, zorder=3)
        top = max(top, *(value for _, value in points))
    from_zero(axes, top, headroom=1.45 if len(lines) > 1 else 1.15)  # room for the names
    if len(lines) > 1:
        handles = axes.get_lines()[: min(LINES, len(lines))]
        legend = axes.legend(
            handles,
            told_apart(list(lines))[:LINES],
            loc="upper left",
            ncols=3,
            fontsize=8,
            frameon=False,
            labelcolor=INK,
            handlelength=2.2,
            columnspacing=1.0,
            borderaxespad=0.1,
        )
        legend.set_in_layout(False)  # it must not push the panels together
    return {"panel": name, "unit": unit, "series": lines}


def _fitted(name: str, unit: str) -> str:
    """A panel's title with its unit, cut where it would run into the next panel."""
    whole = name if len(name) <= 36 else name[:35] + "…"
    return f"{whole} ({unit})" if unit else whole


def told_apart(names: list[str]) -> list[str]:
    """Names without the words that all begin and end with: `10.0.0.3:8080` and `10.0.0.4:8080` are …3 and …4. At most 16 long."""
    parts = [re.findall(r"[0-9A-Za-z]+|[^0-9A-Za-z]", name) for name in names]
    shortest = min(map(len, parts), default=0)
    head = tail = 0
    if len(names) > 1:
        while head < shortest and len({part[head] for part in parts}) == 1:
            head += 1
        while tail < shortest - head and len({part[-1 - tail] for part in parts}) == 1:
            tail += 1
    cut = ["".join(part[head : len(part) - tail]) for part in parts]
    if all(cut) and head:
        names = [f"…{name}" for name in cut]
    return [name if len(name) <= 16 else "…" + name[-15:] for name in names]


def _alt(found: list[dict[str, Any]]) -> str:
    said = []
    for panel in found:
        values = [value for points in panel["series"].values() for _, value in points]
        if not values:
            said.append(f"{panel['panel']}: no data")
            continue
        unit = f" {panel['unit']}" if panel["unit"] else ""
        said.append(
            f"{panel['panel']}: {words.count(len(panel['series']), 'line')}, from {words.number(min(values))} "
            f"to {words.number(max(values))}{unit}"
        )
    return f"{words.count(len(found), 'panel')} of the dashboard. " + ". ".join(said) + "."


def _caption(table: Table, found: list[dict[str, Any]], seconds: float) -> str:
    empty = [panel["panel"] for panel in found if not panel["series"]]
    out = [f"The queries of dashboard.json, asked of Prometheus over the last {seconds:.0f} s."]
    if empty:
        out.append(f"No data: {words.sentence_list(empty)}.")
    crowded = [panel["panel"] for panel in found if len(panel["series"]) > LINES]
    if crowded:
        out.append(f"Only the first {LINES} lines of {words.sentence_list(crowded)}.")
    if table.note:
        out.append(table.note.rstrip(".") + ".")
    out.append(f"{table.machine.line} ({table.machine.profile}).")
    return " ".join(out)
