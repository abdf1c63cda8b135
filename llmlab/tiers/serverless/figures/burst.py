"""A burst that arrives where nothing runs: who waits, how many instances there are, and when each first token came."""

from __future__ import annotations

import itertools
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ....figures.cells import number, rows_of, setting
from ....figures.picture import Picture
from ....figures.style import BLUE, FIRST_TOKEN, GREEN, INK, dress, finish, from_zero, mark_guess, new_figure
from ....figures.words import count, seconds
from ....records.schema import Table


def burst(table: Table, *, guess: Any = None) -> Picture:
    """Three lanes over the seconds since the burst: requests that wait for a first token, instances that are ready, first tokens.

    Each row is one look: `requests_waiting` and `instances_ready` as they were then, `answered` how many requests had a first token by
    then. A mark stands at the look that first saw the token, so it is late by no more than the time between two looks.

    :param guess: instances that the reader predicted; marked.
    :raises LabError: when nobody looked.
    """
    rows = sorted(
        rows_of(table, "burst_from_zero", "no burst was watched"), key=lambda row: number(row["at"])
    )
    at = [number(row["at"]) for row in rows]
    waiting = [number(row["requests_waiting"]) for row in rows]
    ready = [number(row["instances_ready"]) for row in rows]
    answered = [number(row["answered"]) for row in rows]
    tokens = _tokens(at, answered)
    first_ready = next((when for when, many in zip(at, ready, strict=True) if many > 0), None)
    gaps = [after - before for before, after in itertools.pairwise(at)]
    data: dict[str, Any] = {
        "waiting_most": int(max(waiting)),
        "waiting_last": int(waiting[-1]),
        "instances_most": int(max(ready)),
        "first_ready": first_ready,
        "tokens": tokens,
        "seconds": at[-1] - at[0],
        "looks": len(rows),
        "between": max(gaps, default=0.0),
    }
    figure = new_figure(7.6, 5.4)
    grid = figure.subplots(3, 1, sharex=True, height_ratios=[2.0, 1.2, 1.0])
    _steps(grid[0], at, waiting, FIRST_TOKEN.colour, FIRST_TOKEN.hatch)
    dress(grid[0], quantity=f"Requests without a first token: at most {data['waiting_most']}")
    from_zero(grid[0], max(waiting))
    _steps(grid[1], at, ready, BLUE, "")
    dress(grid[1], quantity=f"Instances that are ready: at most {data['instances_most']}")
    from_zero(grid[1], max(ready))
    mark_guess(grid[1], guess, along="y")
    for axes in grid[:2]:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    lined = first_ready is not None and first_ready > at[0]
    if first_ready is not None and lined:
        for axes in grid:
            axes.axvline(first_ready, color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=4)
    _marks(grid[2], tokens)
    margin = 0.015 * max(data["seconds"], 1.0)
    grid[0].set_xlim(min(at[0], 0.0) - margin, max(at[-1], at[0] + 1.0) + margin)
    handles = {
        Patch(facecolor=FIRST_TOKEN.colour, hatch=FIRST_TOKEN.hatch, edgecolor="white", label="waiting"): True,
        Patch(facecolor=BLUE, label="ready"): max(ready) > 0,
        Line2D([], [], color=GREEN, linestyle="", marker="D", markersize=6, label="a first token"): tokens,
        Line2D([], [], color=INK, linestyle=(0, (2, 2)), linewidth=1, label="the first instance is ready"): lined,
    }  # fmt: skip
    figure.legend(
        handles=[handle for handle, drawn in handles.items() if drawn],
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    return finish(figure, alt=_alt(data), caption=_caption(table, data), data=data)


def _tokens(at: list[float], answered: list[float]) -> list[float]:
    """When each first token was first seen, in order."""
    tokens: list[float] = []
    for when, many in zip(at, answered, strict=True):
        tokens += [when] * max(0, int(many) - len(tokens))
    return tokens


def _steps(axes: Axes, at: list[float], values: list[float], colour: str, hatch: str) -> None:
    end = [*at[1:], at[-1] + (at[-1] - at[-2] if len(at) > 1 else 1.0)]
    axes.fill_between(
        [at[0], *[edge for pair in zip(at, end, strict=True) for edge in pair]],
        [values[0], *[value for value in values for _ in range(2)]],
        facecolor=colour, hatch=hatch, edgecolor="white", linewidth=0, zorder=2,
    )  # fmt: skip


def _marks(axes: Axes, tokens: list[float]) -> None:
    dress(axes, quantity=f"First tokens: {len(tokens)}", below="seconds since the burst")
    axes.grid(False)
    axes.set_yticks([])
    axes.set_ylim(0, 1)
    if not tokens:
        axes.text(
            0.5, 0.5, "nobody was answered", transform=axes.transAxes,
            ha="center", va="center", fontsize=10, color=INK,
        )  # fmt: skip
        return
    # the golden ratio spreads marks over the lane's height without chance: the same table, the same picture
    heights = [0.15 + 0.7 * (n * 0.618034 % 1) for n in range(len(tokens))]
    axes.plot(
        tokens, heights, linestyle="", marker="D", markersize=5.5, markeredgewidth=0, color=GREEN,
        alpha=0.85 if len(tokens) <= 40 else 0.5, zorder=3, clip_on=False,
    )  # fmt: skip


def _alt(data: dict[str, Any]) -> str:
    tokens = data["tokens"]
    said = [
        f"A burst where nothing runs, watched for {seconds(data['seconds'])}: at most {count(data['waiting_most'], 'request')} "
        f"without a first token, at most {count(data['instances_most'], 'instance')} ready."
    ]
    if data["first_ready"] is not None:
        said.append(f"The first instance is ready after {seconds(data['first_ready'])}.")
    if tokens:
        said.append(
            f"{count(len(tokens), 'first token')}: the first after {seconds(tokens[0])}, the last after {seconds(tokens[-1])}."
        )
    else:
        said.append("No first token came (0).")
    return " ".join(said)


def _caption(table: Table, data: dict[str, Any]) -> str:
    said = [
        f"One burst, one run, {count(data['looks'], 'look')} no more than {seconds(data['between'])} apart."
    ]
    if data["waiting_last"]:
        said.append(f"At the end {count(data['waiting_last'], 'request')} still waited.")
    return " ".join([*said, setting(table)])
