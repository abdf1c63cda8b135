"""What a way through the door adds to the time to the first token: every request a dot, and connecting apart from answering."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ....figures import words
from ....figures.picture import Picture
from ....figures.style import BLUE, INK, ORANGE, RULE, SKY, dress, finish, mark_guess, new_figure
from ....figures.words import count
from ....records import stats
from ....records.schema import Table
from .cells import number, rows_of, setting, short

FAR = 1.6  # the axis ends at so many times the highest p95, or median; what is farther is counted at the edge


def ways(table: Table, *, guess: Any = None) -> Picture:
    """Time to the first token by way, a lane each: requests as dots, p50 and p95 marked; left of 0, the median time to connect.

    0 is the moment at which a request is sent, so connecting comes before it. The time to the first token has no part of it.

    :param guess: milliseconds more than the first way that the reader predicted; marked.
    :raises LabError: when nobody was asked, or no way brought a token.
    """
    rows = rows_of(table, "ways", "no way was measured")
    names = list(dict.fromkeys(str(row["way"]) for row in rows))
    lanes = [_numbers(name, [row for row in rows if str(row["way"]) == name]) for name in names]
    base = lanes[0]["p50"]
    for lane in lanes:
        known = base is not None and lane["p50"] is not None
        lane["added"] = lane["p50"] - base if known else None
    data: dict[str, Any] = {"ways": lanes}
    figure = new_figure(8.2, 1.5 + 0.95 * len(lanes))
    axes = figure.subplots()
    dress(
        axes,
        quantity="Time to the first token, by way",
        below="milliseconds since the request was sent (left of 0: connecting)",
    )
    axes.grid(False)
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    high = _scale(axes, lanes)
    if base is not None and isinstance(guess, int | float):
        mark_guess(axes, 1000 * base + guess)
    for place, lane in enumerate(lanes):
        _lane(axes, place, lane, high)
    axes.axvline(0, color=INK, linewidth=1, zorder=4)
    axes.set_yticks(range(len(lanes)), [_wrapped(lane) for lane in lanes])
    axes.set_ylim(len(lanes) - 0.5, -0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.6g}"))
    got = [lane for lane in lanes if lane["p50"] is not None]
    handles = {
        Line2D([], [], color=BLUE, linestyle="", marker="o", markersize=4, alpha=0.6, label="one request"): True,
        Line2D([], [], color=INK, linestyle="", marker="|", markersize=13, markeredgewidth=2.4, label="p50"): True,
        Line2D([], [], color=INK, linestyle="", marker="D", markersize=6, markerfacecolor="white", label="p95"): any(
            lane["p95"] is not None for lane in got
        ),
        Patch(facecolor=ORANGE, hatch="////", edgecolor="white", label="connecting, median"): any(
            lane["connect_p50"] for lane in got
        ),
        Patch(facecolor=SKY, alpha=0.5, label="sent to first token, median"): True,
    }  # fmt: skip
    figure.legend(
        handles=[handle for handle, drawn in handles.items() if drawn],
        loc="outside lower center",
        ncols=5,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        handletextpad=0.5,
        columnspacing=1.3,
    )
    return finish(figure, alt=_alt(lanes), caption=_caption(table, lanes), data=data)


def _numbers(way: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One way: how many, percentiles in seconds (None: too few to know), and the times themselves."""
    good = [row for row in rows if row["first"] is not None]
    first = [number(row["first"]) for row in good]
    connect = [number(row["connect"]) for row in good]
    return {
        "way": way,
        "count": len(good),
        "failed": len(rows) - len(good),
        "p50": stats.percentile(first, 50),
        "p95": stats.percentile(first, 95),
        "connect_p50": stats.percentile(connect, 50),
        "connect_p95": stats.percentile(connect, 95),
        "first": first,
    }


def _scale(axes: Axes, lanes: list[dict[str, Any]]) -> float:
    """Set the x axis; its right end in milliseconds."""
    marked = [1000 * (lane["p95"] or lane["p50"]) for lane in lanes if lane["p50"] is not None]
    farthest = max((1000 * value for lane in lanes for value in lane["first"]), default=1.0)
    high = min(farthest, FAR * max(marked, default=1.0)) or 1.0
    before = max((1000 * (lane["connect_p50"] or 0) for lane in lanes), default=0.0)
    axes.set_xlim(-1.12 * before if before else -0.015 * high, 1.06 * high)
    return high


def _lane(axes: Axes, place: int, lane: dict[str, Any], high: float) -> None:
    if lane["p50"] is None:
        axes.text(0.02 * high, place, "no request got a token", fontsize=9.5, color=INK, va="center")
        return
    connect, middle = 1000 * lane["connect_p50"], 1000 * lane["p50"]
    axes.barh(place, -connect, height=0.5, color=ORANGE, hatch="////", edgecolor="white", linewidth=0, zorder=2)  # fmt: skip
    axes.barh(place, middle, height=0.5, color=SKY, alpha=0.5, linewidth=0, zorder=2)
    times = 1000 * np.asarray(lane["first"])
    inside = times <= high
    # the golden ratio spreads dots over the lane's height without chance: the same table, the same picture
    heights = place + 0.4 * ((np.arange(len(times)) * 0.618034) % 1 - 0.5)
    faint = 0.75 if len(times) <= 30 else 0.45 if len(times) <= 200 else 0.22
    axes.plot(
        times[inside], heights[inside], linestyle="", marker="o", markersize=3.6, markeredgewidth=0,
        color=BLUE, alpha=faint, zorder=3, clip_on=False,
    )  # fmt: skip
    axes.plot(middle, place, marker="|", markersize=25, markeredgewidth=2.6, color=INK, zorder=5)
    if lane["p95"] is not None and 1000 * lane["p95"] <= high:
        axes.plot(
            1000 * lane["p95"], place, marker="D", markersize=7, markerfacecolor="white",
            markeredgecolor=INK, markeredgewidth=1.5, zorder=5, clip_on=False,
        )  # fmt: skip
    more = f" ({1000 * lane['added']:+.3g})" if place and lane["added"] is not None else ""
    said = [f"p50 {_ms(lane['p50'])}{more}"]
    if lane["p95"] is not None:
        said.append(f"p95 {_ms(lane['p95'])}")
    if lane["connect_p50"]:
        said.append(f"connecting: {_ms(lane['connect_p50'])}")
    if beyond := int((~inside).sum()):
        said.append(f"{beyond} beyond, up to {_ms(float(times.max()) / 1000)}")
    axes.text(
        1.015, place, "\n".join(said), transform=axes.get_yaxis_transform(),
        fontsize=9, color=INK, va="center", linespacing=1.25,
    )  # fmt: skip


def _ms(value: float) -> str:
    """Seconds, written in milliseconds."""
    return f"{words.number(1000 * value)} ms"


def _wrapped(lane: dict[str, Any]) -> str:
    return textwrap.fill(short(lane["way"], 66), 24)


def _alt(lanes: list[dict[str, Any]]) -> str:
    said = ["Time to the first token by way."]
    for n, lane in enumerate(lanes):
        if lane["p50"] is None:
            said.append(f"{lane['way']}: none of {count(lane['failed'], 'request')} got a token.")
            continue
        text = f"{lane['way']}: half of {count(lane['count'], 'request')} within {_ms(lane['p50'])}"
        if lane["p95"] is not None:
            text += f", 95 % within {_ms(lane['p95'])}"
        if n and lane["added"] is not None:
            text += f"; the median is {_ms(abs(lane['added']))} {'more' if lane['added'] >= 0 else 'less'} than {lanes[0]['way']}"
        if lane["connect_p50"]:
            text += f"; connecting took {_ms(lane['connect_p50'])} before that, in the median"
        said.append(text + ".")
    return " ".join(said)


def _caption(table: Table, lanes: list[dict[str, Any]]) -> str:
    counts = [lane["count"] for lane in lanes]
    low, high = min(counts), max(counts)
    said = [
        f"Each way: {count(high, 'request') if low == high else f'{low} to {high} requests'} with a token, one run."
    ]
    if len(lanes) > 1:
        said.append(f"In brackets: ms of the median more than {lanes[0]['way']}.")
    if low < 20:
        said.append("p95 is drawn from 20 requests on.")
    if failed := sum(lane["failed"] for lane in lanes):
        said.append(f"Not drawn: {count(failed, 'request')} without a token.")  # fmt: skip
    return " ".join([*said, setting(table)])
