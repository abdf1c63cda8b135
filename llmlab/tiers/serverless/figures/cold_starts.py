"""What a cold start is made of, platform by platform: the medians of its parts side by side, and how far apart the tries were."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ....errors import LabError
from ....figures.cells import number, rows_of, setting
from ....figures.picture import Picture
from ....figures.style import (
    BLUE,
    FIRST_TOKEN,
    GREEN,
    INK,
    PURPLE,
    RULE,
    SKY,
    YELLOW,
    dress,
    finish,
    mark_guess,
    new_figure,
)
from ....figures.words import count, seconds, sentence_list
from ....records import stats
from ....records.schema import Table

#: The parts in the order in which they come → colour and hatch.
PARTS = {
    "queue": (PURPLE, "...."),
    "schedule": (SKY, ""),
    "image": (YELLOW, "\\\\\\\\"),
    "process": (GREEN, "xxxx"),
    "load": (BLUE, ""),
    "first token": (FIRST_TOKEN.colour, FIRST_TOKEN.hatch),
}


def cold_starts(table: Table, *, guess: Any = None) -> Picture:
    """Seconds from the request to the first token, a bar a platform: its parts' medians, and a line from the lowest to the highest total.

    A try in which a part has no time got no token: it is counted in the caption and not drawn. A part that no try of a platform has is
    not there. Medians of parts need not add up to the median of the totals, which is the tick on the line.

    :param guess: seconds in all that the reader predicted; marked.
    :raises LabError: when nobody tried, or no try brought a token.
    """
    rows = rows_of(table, "cold_starts", "no cold start was measured")
    names = list(dict.fromkeys(str(row["platform"]) for row in rows))
    parts = [*PARTS, *dict.fromkeys(str(row["part"]) for row in rows if str(row["part"]) not in PARTS)]
    platforms = [_numbers(name, [row for row in rows if str(row["platform"]) == name], parts) for name in names]  # fmt: skip
    drawn = [platform for platform in platforms if platform["n"]]
    if not drawn:
        raise LabError("Nothing to draw: no try brought a token.")
    data: dict[str, Any] = {"platforms": platforms}
    figure = new_figure(8.2, 1.7 + 0.75 * len(platforms))
    axes = figure.subplots()
    dress(axes, quantity="From the request to the first token, nothing running before", below="seconds")
    axes.grid(False)
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    for place, platform in enumerate(platforms):
        _bar(axes, place, platform)
    axes.set_yticks(range(len(platforms)), [textwrap.fill(str(it["platform"]), 22) for it in platforms])
    axes.set_ylim(len(platforms) - 0.45, -0.55)
    axes.set_xlim(0, 1.05 * max(max(it["high"], sum(it["parts"].values())) for it in drawn))
    mark_guess(axes, guess)
    used = [part for part in parts if any(part in it["parts"] for it in drawn)]
    handles = [Patch(facecolor=_look(part)[0], hatch=_look(part)[1], edgecolor="white", label=part) for part in used]  # fmt: skip
    handles.append(
        Line2D([], [], color=INK, marker="|", markersize=9, linewidth=1.6, label="totals: lowest, median, highest")  # type: ignore[arg-type]
    )  # fmt: skip
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    return finish(figure, alt=_alt(platforms), caption=_caption(table, platforms), data=data)


def _look(part: str) -> tuple[str, str]:
    return PARTS.get(part, ("#BBBBBB", "oo"))


def _numbers(name: str, rows: list[dict[str, Any]], order: list[str]) -> dict[str, Any]:
    """One platform: medians of its parts, lowest, median and highest total in seconds, how many tries and how many without a token."""
    tries: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        tries.setdefault(row["try"], []).append(row)
    good = [own for own in tries.values() if all(row["seconds"] is not None for row in own)]
    totals = [sum(number(row["seconds"]) for row in own) for own in good]
    parts = {}
    for part in order:
        values = [number(row["seconds"]) for own in good for row in own if str(row["part"]) == part]
        if values:
            parts[part] = stats.percentile(values, 50) or 0.0
    return {
        "platform": name,
        "parts": parts,
        "n": len(good),
        "failed": len(tries) - len(good),
        "low": min(totals, default=0.0),
        "median": stats.percentile(totals, 50) if totals else None,
        "high": max(totals, default=0.0),
    }


def _bar(axes: Axes, place: int, platform: dict[str, Any]) -> None:
    if not platform["n"]:
        axes.text(0, place, "  no try brought a token", fontsize=9.5, color=INK, va="center")
        return
    left = 0.0
    for part, value in platform["parts"].items():
        colour, hatch = _look(part)
        axes.barh(
            place, value, left=left, height=0.46, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6, zorder=2
        )  # fmt: skip
        left += value
    below = place + 0.34
    axes.plot([platform["low"], platform["high"]], [below, below], color=INK, linewidth=1.6, zorder=4)
    for value, size in ((platform["low"], 7), (platform["median"], 13), (platform["high"], 7)):
        axes.plot(value, below, marker="|", markersize=size, markeredgewidth=1.8, color=INK, zorder=5)
    axes.text(
        1.015, place, f"median {seconds(platform['median'])}\n{seconds(platform['low'])} to {seconds(platform['high'])}",
        transform=axes.get_yaxis_transform(), fontsize=9, color=INK, va="center", linespacing=1.25,
    )  # fmt: skip


def _alt(platforms: list[dict[str, Any]]) -> str:
    said = ["From the request to the first token, with nothing running before."]
    for platform in platforms:
        if not platform["n"]:
            said.append(f"{platform['platform']}: none of {count(platform['failed'], 'try', 'tries')} brought a token.")  # fmt: skip
            continue
        longest = sentence_list([f"{part} {seconds(value)}" for part, value in platform["parts"].items()])
        said.append(
            f"{platform['platform']}: median {seconds(platform['median'])}, {seconds(platform['low'])} to {seconds(platform['high'])}; "
            f"medians of the parts: {longest}."
        )
    return " ".join(said)


def _caption(table: Table, platforms: list[dict[str, Any]]) -> str:
    n = sentence_list([f"{it['platform']} n = {it['n']}" for it in platforms])
    said = [f"{n}, one run. Bars: medians of each part; they need not add up to the median total."]
    if failed := sum(it["failed"] for it in platforms):
        said.append(f"Not drawn: {count(failed, 'try', 'tries')} without a token.")
    return " ".join([*said, setting(table)])
