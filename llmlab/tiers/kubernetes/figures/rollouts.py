"""What users felt while a deployment changed: replies and failures second by second, replicas and queue over time."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ....errors import LabError
from ....figures.picture import Picture
from ....figures.style import (
    BLUE,
    FAILED,
    FIRST_TOKEN,
    GREEN,
    INK,
    QUIET,
    SHADE,
    dress,
    finish,
    from_zero,
    mark_guess,
    new_figure,
)
from ....records.schema import Table

SETS = ("guide", "yours")


def rollouts(table: Table) -> Picture:
    """Replies per second, answered and failed, around a roll-out: one panel for each set, on one scale.

    A request counts in the second in which it was over. The shaded part is the roll-out, as long as there were old pods.

    :raises LabError: when the table holds no request.
    """
    rows = table.dicts()
    if table.kind != "rollouts" or not any(row["what"] == "request" for row in rows):
        raise LabError("Nothing to draw: nobody asked during a roll-out.", fix="cluster.rollouts()")
    end = max(_number(row["to"]) for row in rows)
    edges = np.arange(0, np.ceil(end) + 1)
    figure = new_figure(7.4, 4.6)
    panels = figure.subplots(2, 1, sharex=True, sharey=True)
    data: dict[str, Any] = {"sets": [], "seconds": edges[:-1].tolist()}
    top = 1.0
    for whose, axes in zip(SETS, panels, strict=True):
        own = [row for row in rows if row["set"] == whose and row["what"] == "request"]
        good = np.histogram([_number(row["to"]) for row in own if row["ok"]], edges)[0]
        bad = np.histogram([_number(row["to"]) for row in own if not row["ok"]], edges)[0]
        top = max(top, float((good + bad).max(initial=1)))
        below = "seconds since the first request" if whose == SETS[-1] else None
        dress(axes, quantity=f"Replies per second: {whose}", below=below)
        span = _span(rows, whose)
        if span:
            axes.axvspan(*span, color=SHADE, zorder=0)
            axes.text(
                span[0] + 0.2,
                0.97,
                "roll-out",
                transform=axes.get_xaxis_transform(),
                va="top",
                fontsize=9,
                color=QUIET,
            )
        axes.bar(edges[:-1], good, width=0.9, align="edge", color=GREEN)
        axes.bar(
            edges[:-1],
            bad,
            width=0.9,
            align="edge",
            bottom=good,
            color=FAILED.colour,
            hatch="xxxx",
            edgecolor="white",
        )
        data["sets"].append(
            {
                "set": whose,
                "requests": len(own),
                "failed": int(bad.sum()),
                "rollout": span,
                "good": good.tolist(),
                "bad": bad.tolist(),
            }
        )
    for axes in panels:
        from_zero(axes, top)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        axes.set_xlim(0, edges[-1])
    handles = [
        Patch(facecolor=GREEN, label="answered in full"),
        Patch(facecolor=FAILED.colour, hatch="xxxx", edgecolor="white", label="failed"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5, labelcolor=INK
    )
    said = [
        f"{numbers['set']}: {numbers['failed']} of {numbers['requests']} requests failed"
        for numbers in data["sets"]
    ]
    caption = f"Four users each, in closed loops, side by side on one machine; one roll-out, {'; '.join(said)}. {_machine(table)}"
    alt = f"Replies per second around a roll-out, over {end:.0f} seconds. {'. '.join(said)}."
    return finish(figure, alt=alt, caption=caption, data=data)


def scaling(table: Table, *, guess: Any = None) -> Picture:
    """Replicas (above) and users (below) over time: one column for each set, on the same scales.

    :param guess: replicas that the reader predicted for one user of the guide's; marked.
    :raises LabError: when the table holds nothing.
    """
    rows = table.dicts()
    if table.kind != "scaling" or not rows:
        raise LabError("Nothing to draw: no autoscaler was watched.", fix="cluster.scaling()")
    figure = new_figure(7.6, 4.8)
    grid = figure.subplots(2, 2, sharex=True, sharey="row")
    data: dict[str, Any] = {"sets": []}
    for column, whose in enumerate(SETS):
        own = [row for row in rows if row["set"] == whose]
        values = {
            key: [_number(row[key]) for row in own] for key in ("at", "wanted", "ready", "users", "waiting")
        }
        _replicas(grid[0][column], whose, values)
        _users(grid[1][column], values)
        data["sets"].append({"set": whose, **_numbers(values)})
    from_zero(grid[0][0], max(_number(row["wanted"]) for row in rows))
    from_zero(grid[1][0], max(_number(row["users"]) for row in rows))
    for axes in grid[:, 0]:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    for axes in grid[1]:
        axes.set_xlim(0, max(_number(row["at"]) for row in rows))
    mark_guess(grid[0][0], guess, along="y")
    handles = [
        Line2D([], [], color=BLUE, linestyle=(0, (4, 1.5)), label="replicas wanted"),
        Patch(facecolor=GREEN, alpha=0.55, label="replicas ready"),
        Line2D([], [], color=INK, label="users with a request open"),
        Patch(
            facecolor=FIRST_TOKEN.colour,
            hatch=FIRST_TOKEN.hatch,
            edgecolor="white",
            label="of them, without a token yet",
        ),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5, labelcolor=INK
    )
    said = [
        f"{numbers['set']}: {numbers['mean']:.1f} replicas on average, at most {numbers['most']}, "
        f"users waited {numbers['waited']:.0f} s in all"
        for numbers in data["sets"]
    ]
    caption = f"The same users before both, at the same time; one run, looked at four times a second. {_machine(table)}"
    return finish(figure, alt=f"Replicas and users over time. {'. '.join(said)}.", caption=caption, data=data)


def _replicas(axes: Axes, whose: str, values: dict[str, list[float]]) -> None:
    dress(axes, quantity=f"Replicas: {whose}")
    axes.fill_between(values["at"], values["ready"], step="post", color=GREEN, alpha=0.55, linewidth=0)
    axes.plot(
        values["at"],
        values["wanted"],
        drawstyle="steps-post",
        color=BLUE,
        linestyle=(0, (4, 1.5)),
        linewidth=1.8,
    )


def _users(axes: Axes, values: dict[str, list[float]]) -> None:
    dress(axes, quantity="Users", below="seconds")
    axes.fill_between(
        values["at"],
        values["waiting"],
        step="post",
        facecolor=FIRST_TOKEN.colour,
        hatch=FIRST_TOKEN.hatch,
        edgecolor="white",
        linewidth=0,
    )
    axes.plot(values["at"], values["users"], drawstyle="steps-post", color=INK, linewidth=1.4)


def _numbers(values: dict[str, list[float]]) -> dict[str, Any]:
    """Mean and highest replicas wanted, and user-seconds without a token, over the whole trace."""
    at = np.asarray(values["at"])
    steps = np.diff(at, append=at[-1])
    whole = float(steps.sum()) or 1.0
    return {
        "mean": float((np.asarray(values["wanted"]) * steps).sum() / whole),
        "most": int(max(values["wanted"])),
        "waited": float((np.asarray(values["waiting"]) * steps).sum()),
        "seconds": whole,
    }


def _span(rows: list[dict[str, Any]], whose: str) -> list[float]:
    """From its beginning until the last old pod was gone."""
    own = [row for row in rows if row["set"] == whose and row["what"] == "roll-out"]
    return [min(_number(row["from"]) for row in own), max(_number(row["to"]) for row in own)] if own else []


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _machine(table: Table) -> str:
    return (
        f"{table.machine.line} ({table.machine.profile}), Kubernetes {table.versions.get('kubernetes', '?')}."
    )
