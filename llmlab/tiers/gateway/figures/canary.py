"""A canary's share as measured, beside what was stated: points with what chance alone explains, and the failures."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ....figures.picture import Picture
from ....figures.style import BLUE, FAILED, INK, ORANGE, QUIET, dress, finish, new_figure, readable
from ....figures.words import count, seconds
from ....records.schema import Table
from .cells import number, rows_of, setting

BINS = 60  # up to so many points can be told apart
Z = 1.959964  # standard deviations of a normal distribution within which 95 % lie


def canary(table: Table) -> Picture:
    """The share of answers that were the canary's, in bins of about a second, and the share that was stated at the time.

    A bar is Wilson's interval: a share in it, with 95 %, is what chance makes of so few answers. No bin goes over a change of the
    weight. The canary is who has "canary" in its name; without such a name, it is the rarer one while the stated share was lowest.

    :raises LabError: when nobody asked and nothing was stated.
    """
    rows = rows_of(table, "canary", "no canary was watched")
    answers = sorted((row for row in rows if row["what"] == "answer"), key=lambda row: number(row["at"]))
    periods = _periods(rows, answers)
    theirs = _canaries(periods)
    end = max(number(row["at"]) for row in rows)
    start = min(0.0, *(number(row["at"]) for row in rows))
    end = max(end, start + 1.0)
    width = max(1.0, (end - start) / BINS)
    bins = [point for period in periods for point in _bins(period, theirs, width)]
    zero = next((period for period in reversed(periods) if period["share"] == 0), None)
    data: dict[str, Any] = {
        "shares": [_numbers(period, theirs) for period in periods],
        "canaries": sorted(theirs),
        "answers": sum(row["who"] != "" for row in answers),
        "failed": sum(row["who"] == "" for row in answers),
        "after_zero": _numbers(zero, theirs)["canary"] if zero else None,
        "bins": bins,
        "seconds": end - start,
    }
    figure = new_figure(7.6, 4.3)
    axes = figure.subplots()
    dress(axes, quantity="Share of answers that were the canary's", below="seconds")
    failures = [number(row["at"]) for row in answers if row["who"] == ""]
    _draw(axes, bins, periods, failures, end)
    margin = 0.015 * (end - start)
    axes.set_xlim(start - margin, end + margin)
    highest = max([point["high"] for point in bins] + [number(period["share"]) for period in periods] + [0.1])
    axes.set_ylim(-0.07 * highest, 1.06 * highest)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %" if value >= 0 else ""))  # fmt: skip
    handles = {
        Line2D([], [], color=BLUE, marker="o", markersize=6, label="measured, 95 % interval"): bins,
        Line2D([], [], color=readable(ORANGE), linestyle=(0, (5, 1.6)), linewidth=2, label="stated"): any(
            period["share"] is not None for period in periods
        ),
        Line2D([], [], color=FAILED.colour, linestyle="", marker="x", markersize=8, markeredgewidth=2, label="failed request"): failures,
    }  # fmt: skip
    figure.legend(
        handles=[handle for handle, drawn in handles.items() if drawn], loc="outside lower center", ncols=3, frameon=False,
        fontsize=9.5, labelcolor=INK,
    )  # fmt: skip
    return finish(figure, alt=_alt(data), caption=_caption(table, data), data=data)


def wilson(some: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share of `some` in `total`, 0..1, after Wilson (1927); all that is possible where `total` is 0."""
    if not total:
        return 0.0, 1.0
    share, square = some / total, Z * Z
    middle = (share + square / (2 * total)) / (1 + square / total)
    half = Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total)) / (1 + square / total)
    return max(0.0, middle - half), min(1.0, middle + half)


def _periods(rows: list[dict[str, Any]], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From one stated share to the next: its share (None: nothing was stated yet), from, to (seconds), and the answers in it."""
    stated: list[tuple[float, float]] = []
    for row in sorted((row for row in rows if row["what"] == "weight"), key=lambda row: number(row["at"])):
        if not stated or stated[-1][1] != number(row["share"]):
            stated.append((number(row["at"]), number(row["share"])))
    end = max(number(row["at"]) for row in rows)
    begins = [at for at, _ in stated]
    limits = [min(number(row["at"]) for row in rows), *begins, end]
    periods: list[dict[str, Any]] = [
        {"share": share, "from": limits[n], "to": limits[n + 1], "answers": []}
        for n, share in enumerate([None, *(share for _, share in stated)])
    ]
    for row in answers:
        periods[bisect_right(begins, number(row["at"]))]["answers"].append(row)
    return periods if periods[0]["answers"] else periods[1:]


def _canaries(periods: list[dict[str, Any]]) -> set[str]:
    """Whose answers are the canary's."""
    names = {str(row["who"]) for period in periods for row in period["answers"]} - {""}
    if said := {name for name in names if "canary" in name.lower()}:
        return said
    answered = [period for period in periods if any(row["who"] for row in period["answers"])]
    if not answered:
        return set()
    calm = min(answered, key=lambda period: number(period["share"]))
    counts = Counter(str(row["who"]) for row in calm["answers"] if row["who"])
    most = counts.most_common(1)[0][0]
    return {most} if number(calm["share"]) > 0.5 else names - {most}


def _numbers(period: dict[str, Any], theirs: set[str]) -> dict[str, Any]:
    own = period["answers"]
    return {
        "share": period["share"],
        "from": period["from"],
        "to": period["to"],
        "answers": sum(row["who"] != "" for row in own),
        "canary": sum(row["who"] in theirs for row in own),
        "failed": sum(row["who"] == "" for row in own),
    }


def _bins(period: dict[str, Any], theirs: set[str], width: float) -> list[dict[str, Any]]:
    """The period in parts of about `width` seconds, those without an answer left out."""
    length = period["to"] - period["from"]
    parts = max(1, round(length / width))
    groups: list[list[str]] = [[] for _ in range(parts)]
    for row in period["answers"]:
        if row["who"]:
            place = int((number(row["at"]) - period["from"]) / length * parts) if length else 0
            groups[min(place, parts - 1)].append(row["who"])
    out = []
    for n, group in enumerate(groups):
        if group:
            some = sum(who in theirs for who in group)
            low, high = wilson(some, len(group))
            at = period["from"] + (n + 0.5) * length / parts
            out.append({"at": at, "answers": len(group), "canary": some, "low": low, "high": high})
    return out


def _draw(axes: Axes, bins: list[dict[str, Any]], periods: list[dict[str, Any]], failures: list[float], end: float) -> None:  # fmt: skip
    for point in bins:
        axes.plot(
            [point["at"]] * 2, [point["low"], point["high"]], color=BLUE, linewidth=1.3,
            marker="_", markersize=6, alpha=0.75, zorder=3,
        )  # fmt: skip
        axes.plot(point["at"], point["canary"] / point["answers"], marker="o", markersize=6, color=BLUE, zorder=4)  # fmt: skip
    stated = [period for period in periods if period["share"] is not None]
    if stated:
        axes.plot(
            [*(period["from"] for period in stated), end],
            [*(period["share"] for period in stated), stated[-1]["share"]],
            drawstyle="steps-post", color=readable(ORANGE), linestyle=(0, (5, 1.6)), linewidth=2, zorder=3.5,
        )  # fmt: skip
    if failures:
        axes.plot(
            failures, [0.0] * len(failures), linestyle="", marker=FAILED.marker, markersize=8, markeredgewidth=2,
            color=FAILED.colour, transform=axes.get_xaxis_transform(), clip_on=False, zorder=6,
        )  # fmt: skip
    if not bins:
        axes.text(
            0.5, 0.5, "no answers", transform=axes.transAxes,
            ha="center", va="center", fontsize=10, color=QUIET,
        )  # fmt: skip


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _alt(data: dict[str, Any]) -> str:
    said = [f"A canary's share of the answers over {seconds(data['seconds'])}."]
    for numbers in data["shares"]:
        before = (
            "Before a share was stated"
            if numbers["share"] is None
            else f"{_percent(numbers['share'])} stated"
        )
        if not numbers["answers"]:
            text = f"{before}: no answers"
        else:
            part = _percent(numbers["canary"] / numbers["answers"])
            text = f"{before}: the canary gave {numbers['canary']} of {count(numbers['answers'], 'answer')} ({part})"
        said.append(text + (f", {count(numbers['failed'], 'request')} failed." if numbers["failed"] else "."))
    if data["after_zero"] is not None:
        said.append(
            f"The last time that 0 % was stated, the canary gave {count(data['after_zero'], 'answer')}."
        )
    if not data["failed"]:
        said.append("No request failed.")
    return " ".join(said)


def _caption(table: Table, data: dict[str, Any]) -> str:
    sizes = [point["answers"] for point in data["bins"]]
    said = [f"{count(data['answers'], 'answer')}, one run."]
    if sizes:
        low, high = min(sizes), max(sizes)
        each = f"{low}" if low == high else f"{low} to {high}"
        mean = max(1.0, data["seconds"] / BINS)
        said.append(
            f"A point: the answers of about {mean:.3g} s ({each}); its bar: 95 % interval (Wilson), what chance alone explains."
        )
    if data["failed"]:
        said.append(f"In no share: {count(data['failed'], 'failed request')}.")  # fmt: skip
    return " ".join([*said, setting(table)])
