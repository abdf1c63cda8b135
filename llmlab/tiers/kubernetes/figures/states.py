"""What pods were, second by second: a bar for each, its states told apart by colour and hatch."""

from __future__ import annotations

from typing import Any

from matplotlib.patches import Patch

from ....errors import LabError
from ....figures.picture import Picture
from ....figures.style import GREEN, INK, ORANGE, QUIET, SKY, VERMILLION, dress, finish, new_figure
from ....records.schema import Table

#: State → colour and hatch, in the order of a pod's life.
LOOKS = {
    "Pending": ("#FFFFFF", ""),
    "Starting": (SKY, "...."),
    "Ready": (GREEN, ""),
    "Restarting": (VERMILLION, "////"),
    "Terminating": (ORANGE, "\\\\\\\\"),
}


def states(table: Table) -> Picture:
    """One bar for each pod, grouped by whose it is; a number in it counts the restarts so far.

    :raises LabError: when the table holds no pod.
    """
    rows = table.dicts()
    if not rows or table.kind != "states":
        raise LabError("Nothing to draw: no pod was watched.", fix="cluster.timeline()")
    whose = list(dict.fromkeys(str(row["set"]) for row in rows))
    lanes = [
        (owner, pod)
        for owner in whose
        for pod in dict.fromkeys(str(row["pod"]) for row in rows if row["set"] == owner)
    ]
    end = max(_number(row["to"]) for row in rows)
    figure = new_figure(7.4, 1.35 + 0.62 * len(lanes))
    axes = figure.subplots()
    dress(axes, quantity="State of each pod", below="Seconds since it was applied")
    axes.grid(False)
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
    for lane, (owner, pod) in enumerate(lanes):
        own = [row for row in rows if row["pod"] == pod and row["set"] == owner]
        counted = 0
        for row in own:
            left, right = _number(row["from"]), _number(row["to"])
            colour, hatch = LOOKS.get(str(row["state"]), (QUIET, ""))
            axes.barh(
                lane,
                right - left,
                left=left,
                height=0.55,
                color=colour,
                hatch=hatch,
                edgecolor=INK,
                linewidth=0.7,
            )
            again = int(_number(row["restarts"]))
            if again > counted:
                axes.text(left + 0.3, lane - 0.36, f"restart {again}", fontsize=8.5, color=INK, va="center")
                counted = again
    axes.set_yticks(
        range(len(lanes)),
        [owner if len(lanes) == len(whose) else f"{owner}\n{pod[-5:]}" for owner, pod in lanes],
    )
    axes.invert_yaxis()
    axes.set_xlim(0, end)
    axes.set_ylim(len(lanes) - 0.5, -0.6)
    used = [name for name in LOOKS if any(row["state"] == name for row in rows)]
    handles = [
        Patch(facecolor=LOOKS[name][0], hatch=LOOKS[name][1], edgecolor=INK, linewidth=0.7) for name in used
    ]
    figure.legend(
        handles,
        used,
        loc="outside lower center",
        ncols=len(used),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    data = {"pods": [_numbers(rows, owner, pod) for owner, pod in lanes]}
    caption = (
        f"Looked at four times a second for {end:.0f} s, one run. {table.machine.line} ({table.machine.profile}), "
        f"Kubernetes {table.versions.get('kubernetes', '?')}." + (f" {table.note}" if table.note else "")
    )
    return finish(figure, alt=_alt(data["pods"], end), caption=caption, data=data)


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _numbers(rows: list[dict[str, Any]], whose: str, pod: str) -> dict[str, Any]:
    own = [row for row in rows if row["pod"] == pod and row["set"] == whose]
    ready = [_number(row["from"]) for row in own if row["state"] == "Ready"]
    return {
        "set": whose,
        "pod": pod,
        "first_ready": ready[0] if ready else None,
        "restarts": max(int(_number(row["restarts"])) for row in own),
        "seconds": {
            name: round(
                sum(_number(row["to"]) - _number(row["from"]) for row in own if row["state"] == name), 1
            )
            for name in LOOKS
        },
    }


def _alt(pods: list[dict[str, Any]], end: float) -> str:
    words = []
    for pod in pods:
        first = f"ready after {pod['first_ready']:.0f} s" if pod["first_ready"] is not None else "never ready"
        words.append(
            f"{pod['set']}: {first}, {pod['restarts']} restart{'' if pod['restarts'] == 1 else 's'}."
        )
    return f"Timeline of pod states over {end:.0f} seconds. " + " ".join(words)
