"""A burst at the door: what was admitted and waited, and what was sent away at once, client by client."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ....figures.picture import Picture
from ....figures.style import (
    DECODING,
    FAILED,
    FIRST_TOKEN,
    GREEN,
    INK,
    PURPLE,
    QUIET,
    SKY,
    dress,
    finish,
    from_zero,
    new_figure,
)
from ....figures.words import count, seconds
from ....records.schema import Table
from .cells import number, rows_of, setting, short

PANELS = 6  # clients that have a panel of their own
BARS = 90  # up to so many bars can be told apart
#: What became of a request → colour and hatch; the first is drawn upwards, the others downwards.
LOOKS = {
    "admitted": (GREEN, ""),
    "refused": (PURPLE, "////"),
    "other": (SKY, "...."),
    "failed": (FAILED.colour, "xxxx"),
}
NAMES = {
    "admitted": "admitted",
    "refused": "refused (429)",
    "other": "another status",
    "failed": "no answer at all",
}
Span = tuple[float, float]


def burst(table: Table) -> Picture:
    """Requests queued and being answered over a burst (above); what became of those sent in each second, by client (below).

    A request is admitted when its status is 2xx, refused when it is 429, failed when no answer came (status 0). It is queued from
    when it is sent until its first token, or until it is over if no token came; then it is being answered until it is over.

    :raises LabError: when nobody sent anything.
    """
    rows = rows_of(table, "burst", "nobody sent a burst")
    clients = [
        _numbers(name, [row for row in rows if str(row["client"]) == name])
        for name in dict.fromkeys(str(row["client"]) for row in rows)
    ]
    start = math.floor(min(0.0, *(number(row["sent"]) for row in rows)))
    end = max(start + 1.0, *(number(row["over"]) for row in rows))
    width = next((step for step in (1, 2, 5, 10, 30, 60) if (end - start) / step <= BARS), 300)
    edges = np.arange(start, end + width, width, dtype=float)
    queued, answered = _spans(rows)
    data: dict[str, Any] = {
        "clients": clients,
        "queued_most": _most(queued),
        "answered_most": _most(answered),
        "seconds": end - start,
        "bin_s": width,
    }
    panels = _panels(rows, clients)
    figure = new_figure(7.6, 3.1 + 1.3 * len(panels))
    grid = figure.subplots(1 + len(panels), 1, sharex=True, height_ratios=[1.9, *[1.0] * len(panels)])
    _flight(grid[0], queued, answered, data)
    tops = [_bars(axes, own, edges) for axes, (_, own) in zip(grid[1:], panels, strict=True)]
    up, down = (max(heights) for heights in zip(*tops, strict=True))
    every = "second" if width == 1 else f"{width} seconds"
    for axes, (title, _) in zip(grid[1:], panels, strict=True):
        below = "seconds since the burst began" if axes is grid[-1] else None
        dress(axes, quantity=f"Sent per {every}: {title}", below=below)
        axes.axhline(0, color=QUIET, linewidth=0.8, zorder=4)
        axes.set_ylim(-1.12 * max(down, up / 5, 0.5), 1.12 * max(up, down / 5, 0.5))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):,.0f}"))
    grid[0].set_xlim(start, max(end, edges[-1] if end - start < 2 else end))
    handles = [
        Patch(facecolor=DECODING.colour, label="being answered"),
        Patch(facecolor=FIRST_TOKEN.colour, hatch=FIRST_TOKEN.hatch, edgecolor="white", label="queued, no token yet"),
    ] if queued else []  # fmt: skip
    handles += [
        Patch(
            facecolor=colour,
            hatch=hatch,
            edgecolor="white",
            label=f"{'up' if key == 'admitted' else 'down'}: {NAMES[key]}",
        )
        for key, (colour, hatch) in LOOKS.items()
        if any(numbers[key] for numbers in clients)
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5, labelcolor=INK
    )
    return finish(figure, alt=_alt(data), caption=_caption(table, data, len(rows)), data=data)


def _outcome(row: dict[str, Any]) -> str:
    status = int(number(row["status"]))
    if status == 0:
        return "failed"
    return "refused" if status == 429 else "admitted" if 200 <= status < 300 else "other"


def _numbers(client: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One client's requests, counted by what became of them."""
    counts = Counter(map(_outcome, rows))
    admitted = [row for row in rows if _outcome(row) == "admitted"]
    others = Counter(str(int(number(row["status"]))) for row in rows if _outcome(row) == "other")
    return {
        "client": client,
        "sent": len(rows),
        **{key: counts[key] for key in LOOKS},
        "statuses": dict(others),
        "tokenless": sum(row["first"] is None for row in admitted),
        "queued_most": _most(_spans(rows)[0]),
    }


def _spans(rows: list[dict[str, Any]]) -> tuple[list[Span], list[Span]]:
    """From when to when each admitted request was queued, and from when to when it was being answered."""
    queued: list[Span] = []
    answered: list[Span] = []
    for row in rows:
        if _outcome(row) == "admitted":
            sent, over = number(row["sent"]), number(row["over"])
            first = over if row["first"] is None else number(row["first"])
            queued.append((sent, first))
            answered.append((first, over))
    return queued, answered


def _at(spans: Sequence[Span], times: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many spans hold each moment: a span holds its beginning, not its end."""
    begun = np.searchsorted(np.sort([span[0] for span in spans]), times, side="right")
    ended = np.searchsorted(np.sort([span[1] for span in spans]), times, side="right")
    return np.asarray(begun - ended)


def _most(spans: Sequence[Span]) -> int:
    return int(_at(spans, np.array([span[0] for span in spans])).max(initial=0))


def _flight(axes: Axes, queued: list[Span], answered: list[Span], data: dict[str, Any]) -> None:
    dress(
        axes,
        quantity=f"Admitted requests in flight: at most {data['queued_most']} queued at once",
    )
    times = np.unique([moment for span in (*queued, *answered) for moment in span])
    low = _at(answered, times)
    high = low + _at(queued, times)
    axes.fill_between(times, low, step="post", color=DECODING.colour, linewidth=0, zorder=2)
    axes.fill_between(
        times,
        low,
        high,
        step="post",
        facecolor=FIRST_TOKEN.colour,
        hatch=FIRST_TOKEN.hatch,
        edgecolor="white",
        linewidth=0,
        zorder=2,
    )
    from_zero(axes, float(high.max(initial=1)))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    if not queued:
        axes.text(
            0.5, 0.5, "no request was admitted", transform=axes.transAxes,
            ha="center", va="center", fontsize=10, color=QUIET,
        )  # fmt: skip


def _panels(
    rows: list[dict[str, Any]], clients: list[dict[str, Any]]
) -> list[tuple[str, list[dict[str, Any]]]]:
    """Title and rows of each lower panel: one a client; of many, those who sent least share the last one."""
    order = sorted(clients, key=lambda numbers: -numbers["sent"])
    own = order if len(order) <= PANELS else order[: PANELS - 1]
    named = {str(numbers["client"]) for numbers in own}
    out = [
        (f"{short(name)} ({_said(numbers)})", [row for row in rows if str(row["client"]) == name])
        for numbers in clients
        if (name := str(numbers["client"])) in named
    ]
    if rest := [row for row in rows if str(row["client"]) not in named]:
        out.append((f"{len(clients) - len(named)} others ({_said(_numbers('', rest))})", rest))
    return out


def _said(numbers: dict[str, Any]) -> str:
    parts = [f"{numbers['admitted']} admitted", f"{numbers['refused']} refused"]
    parts += [f"{numbers[key]} {word}" for key, word in (("other", "other"), ("failed", "no answer")) if numbers[key]]  # fmt: skip
    return ", ".join(parts)


def _bars(axes: Axes, rows: list[dict[str, Any]], edges: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Draw what became of the requests by when they were sent; how high and how deep the bars go."""
    below = np.zeros(len(edges) - 1)
    up = 0.0
    for key, (colour, hatch) in LOOKS.items():
        heights = np.histogram([number(row["sent"]) for row in rows if _outcome(row) == key], edges)[0]
        upwards = key == "admitted"
        axes.bar(
            edges[:-1],
            heights if upwards else -heights,
            width=0.88 * np.diff(edges),
            align="edge",
            bottom=0 if upwards else -below,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            zorder=3,
        )
        if upwards:
            up = float(heights.max(initial=0))
        else:
            below = below + heights
    return up, float(below.max(initial=0))


def _alt(data: dict[str, Any]) -> str:
    said = [
        f"A burst over {seconds(data['seconds'])}: at most {count(data['queued_most'], 'admitted request')} queued for a first "
        f"token and {data['answered_most']} being answered at once."
    ]
    for numbers in data["clients"]:
        text = (
            f"{numbers['client']}: {count(numbers['sent'], 'request')}, {numbers['admitted']} admitted, "
            f"{numbers['refused']} refused with 429"
        )
        if numbers["other"]:
            each = ", ".join(f"{n} × {status}" for status, n in sorted(numbers["statuses"].items()))
            text += f", {numbers['other']} with another status ({each})"
        if numbers["failed"]:
            text += f", {numbers['failed']} without any answer"
        said.append(text + ".")
    return " ".join(said)


def _caption(table: Table, data: dict[str, Any], sent: int) -> str:
    clients = data["clients"]
    when = "in the second in which" if data["bin_s"] == 1 else "at the time at which"
    said = [
        f"{count(sent, 'request')} of {count(len(clients), 'client')}, one run; below, each counts {when} it was sent."
    ]
    if tokenless := sum(numbers["tokenless"] for numbers in clients):
        said.append(f"Of the admitted, {tokenless} got no token: drawn as queued until the end.")
    if failed := sum(numbers["failed"] for numbers in clients):
        said.append(
            f"Not in the upper panel: {count(failed, 'request')} without any answer (admitted or not is unknown)."
        )
    return " ".join([*said, setting(table)])
