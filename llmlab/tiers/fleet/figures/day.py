"""The day as it went through the door: what was asked, let in, refused and lost, what kept its promise, and when servers were gone."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator

from ....figures.cells import number, setting
from ....figures.picture import Picture
from ....figures.style import (
    BLUE,
    FAILED,
    GOODPUT,
    INK,
    ORANGE,
    QUIET,
    dress,
    finish,
    from_zero,
    mark_guess,
    new_figure,
)
from ....figures.words import count
from ....records.schema import Table
from .columns import rows_with

COLUMNS = "second offered admitted shed failed kept"
GROUND = "#E2E2E2"
INCIDENT = re.compile(r"(\S+) (\w+) ([\d.]+)[–-]([\d.]+) s")
ADMITTED: dict[str, Any] = {"facecolor": BLUE, "alpha": 0.28, "linewidth": 0}
SHED: dict[str, Any] = {"facecolor": ORANGE, "edgecolor": "white", "hatch": "////", "linewidth": 0}
LOST: dict[str, Any] = {"facecolor": FAILED.colour, "edgecolor": "white", "hatch": "xx", "linewidth": 0}


def day(table: Table, *, guess: Any = None) -> Picture:
    """Requests per second by the hour. Above: offered, admitted, goodput; below, with an axis of its own: shed, and failed on top of it.

    Incidents are read from the table's note ("s2 killed 22.4–32.4 s; …") and are grey grounds with their names.

    :param guess: requests per second of goodput that the reader predicted for the busiest moment; marked above.
    :raises LabError: when nothing was sent.
    """
    rows = sorted(rows_with(table, COLUMNS, "no day was replayed"), key=lambda row: number(row["second"]))
    values = {name: np.array([number(row[name]) for row in rows]) for name in COLUMNS.split()}
    starts = values.pop("second")
    width = float(np.median(np.diff(starts))) if len(starts) > 1 else 1.0
    length = float(starts[-1]) + width
    edges = np.append(starts, length) * 24 / length
    incidents = _incidents(table.note, length)
    figure = new_figure(8.4, 5.8)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.3, 1])
    dress(upper, quantity="Requests per second: offered, admitted, goodput")
    dress(
        lower,
        quantity="Requests per second without a reply",
        below=f"hour of the day (24 hours in {length:,.0f} s)",
    )
    upper.fill_between(edges, _steps(values["admitted"]), step="post", zorder=2, **ADMITTED)
    upper.step(edges, _steps(values["offered"]), where="post", color=INK, linewidth=1.4, zorder=3)
    kept: dict[str, Any] = {"color": GOODPUT.colour, "linewidth": 2.8, "zorder": 4}
    upper.step(edges, _steps(values["kept"]), where="post", **kept)
    below = values["shed"] + values["failed"]
    lower.fill_between(edges, _steps(values["shed"]), step="post", zorder=3, **SHED)
    lower.fill_between(edges, _steps(values["shed"]), _steps(below), step="post", zorder=3, **LOST)
    from_zero(upper, float(max(values["offered"].max(), values["admitted"].max())), headroom=1.3)
    from_zero(lower, float(below.max()), headroom=1.15)
    for axes in (upper, lower):
        axes.set_xlim(0, 24)
        axes.xaxis.set_major_locator(FixedLocator(range(0, 25, 3)))
        for incident in incidents:
            axes.axvspan(*incident["hours"], facecolor=GROUND, edgecolor=QUIET, linewidth=0.8, zorder=0)
    _names(upper, incidents)
    mark_guess(upper, guess, along="y")
    figure.legend(
        handles=_legend(bool(incidents)), loc="outside lower center", ncols=3, frameon=False, fontsize=9.5, labelcolor=INK
    )  # fmt: skip
    totals = {name: float(amounts.sum() * width) for name, amounts in values.items()}
    data: dict[str, Any] = {
        "hours": edges[:-1].tolist(),
        "length": length,
        "totals": totals,
        "incidents": incidents,
        **{name: amounts.tolist() for name, amounts in values.items()},
    }
    caption = f"{count(len(rows), 'bin')} of {width:.3g} s, one day of {length:,.0f} s replayed once. {_told(totals)} {setting(table)}"
    return finish(figure, alt=_alt(data, incidents), caption=caption, data=data)


def _steps(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The last value again: a step needs an end."""
    return np.append(values, values[-1])


def _incidents(note: str | None, length: float) -> list[dict[str, Any]]:
    found = []
    for server, how, broke, restored in INCIDENT.findall(note or ""):
        seconds = (float(broke), float(restored))
        found.append(
            {
                "server": server,
                "how": how,
                "seconds": seconds,
                "hours": tuple(at * 24 / length for at in seconds),
            }
        )
    return sorted(found, key=lambda incident: float(incident["seconds"][0]))


def _names(axes: Axes, incidents: list[dict[str, Any]]) -> None:
    """What happened, at the top of its ground; on two lines by turns, so that neighbours are told apart."""
    for place, incident in enumerate(incidents):
        begin, end = incident["hours"]
        middle = min(max((begin + end) / 2, 1.6), 22.4)
        text = f"{incident['server']} {incident['how']}"
        axes.text(
            middle, 0.975 - 0.085 * (place % 2), text, transform=axes.get_xaxis_transform(), ha="center", va="top", fontsize=9.5,
            fontweight="bold", color=INK, zorder=6, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
        )  # fmt: skip


def _legend(incidents: bool) -> list[Any]:
    handles: list[Any] = [
        Line2D([], [], color=INK, linewidth=1.4, label="offered"),
        Patch(label="admitted", **ADMITTED),
        Line2D([], [], color=GOODPUT.colour, linewidth=2.8, label="goodput: promise kept"),
        Patch(label="shed", **SHED),
        Patch(label="failed", **LOST),
    ]
    if incidents:
        handles.append(Patch(facecolor=GROUND, edgecolor=QUIET, linewidth=0.8, label="a server is gone"))
    return handles


def _told(totals: dict[str, float]) -> str:
    offered = totals["offered"] or 1.0
    shares = ", ".join(
        f"{100 * totals[name] / offered:.1f} % {word}"
        for name, word in (
            ("admitted", "admitted"),
            ("shed", "shed"),
            ("failed", "failed"),
            ("kept", "kept the promise"),
        )
    )
    return f"Of {count(round(totals['offered']), 'request')}: {shares}."


def _alt(data: dict[str, Any], incidents: list[dict[str, Any]]) -> str:
    offered, kept = np.array(data["offered"]), np.array(data["kept"])
    top = int(offered.argmax())
    hours = np.array(data["hours"])
    said = [
        f"A day in {data['length']:,.0f} s. {_told(data['totals'])}",
        f"Most is offered at {_clock(hours[top])}: {offered[top]:.1f} requests per second, of which {kept[top]:.1f} keep the promise.",
    ]
    for incident in incidents:
        begin, end = incident["hours"]
        within = (hours < end) & (np.append(hours[1:], 24.0) > begin)
        share = kept[within].sum() / offered[within].sum() if offered[within].sum() else 0.0
        lost = round(np.array(data["failed"])[within].sum() * data["length"] / len(hours))
        failing = count(lost, "request fails", "requests fail") if lost else "none fails"
        span = f"from {_clock(begin)} to {_clock(end)}"
        said.append(
            f"{incident['server']} is {incident['how']} {span}: meanwhile {100 * share:.0f} % keep the promise and {failing}."
        )
    return " ".join(said)


def _clock(hour: float) -> str:
    minutes = round(60 * hour)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
