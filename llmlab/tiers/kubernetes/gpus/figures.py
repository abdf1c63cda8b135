"""Where pods go and what idle GPUs cost: a matrix of Deployments and pools, and dollars an hour for each pool."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.patches import Rectangle

from ....errors import LabError
from ....figures.picture import Picture
from ....figures.style import GREEN, INK, ORANGE, QUIET, SHADE, dress, finish, new_figure
from ....records.schema import Table


def placement(table: Table) -> Picture:
    """A row for each Deployment, a column for each pool: placed, or the scheduler's own reason.

    :raises LabError: when the table holds no decision.
    """
    rows = table.dicts()
    if not rows or table.kind != "placement":
        raise LabError("Nothing to draw: the scheduler was not asked.", fix="cluster.placement()")
    sets = list(dict.fromkeys(str(row["set"]) for row in rows))
    places = list(dict.fromkeys(str(row["pool"]) for row in rows))
    by = {(str(row["set"]), str(row["pool"])): row for row in rows}
    figure = new_figure(8.4, 1.5 + 0.95 * len(sets))
    axes = figure.subplots()
    dress(axes, quantity="Placed, or why not (the scheduler's words)")
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    for y, manifest in enumerate(sets):
        for x, pool in enumerate(places):
            row = by[manifest, pool]
            placed = bool(row["placed"])
            axes.add_patch(
                Rectangle(
                    (x - 0.47, y - 0.44),
                    0.94,
                    0.88,
                    facecolor=GREEN if placed else SHADE,
                    edgecolor=QUIET,
                    linewidth=0.8,
                )
            )
            text = "✓ placed" if placed else textwrap.fill(str(row["reason"]), 17)
            axes.text(
                x,
                y,
                text,
                ha="center",
                va="center",
                fontsize=8 if not placed else 10,
                color="white" if placed else INK,
            )
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_yticks(range(len(sets)), sets)
    labels = [f"{pool}\n{by[sets[0], pool]['gpu']}" for pool in places]
    axes.set_xticks(range(len(places)), labels)
    axes.xaxis.tick_top()
    axes.tick_params(axis="both", length=0)
    axes.title.set_position((0, 1.25))
    data = {
        "decisions": [{key: row[key] for key in ("set", "pool", "gpu", "placed", "reason")} for row in rows]
    }
    words = [
        f"{manifest}: placed on {', '.join(str(row['pool']) for row in rows if row['set'] == manifest and row['placed']) or 'no pool'}"
        for manifest in sets
    ]
    caption = (
        f"One pod a cell, allowed on that node only. The scheduler of Kubernetes {table.versions.get('kubernetes', '?')} decided; "
        "the nodes are fake, labelled and tainted as each cloud's are (data/pools.toml)."
    )
    return finish(figure, alt="Placement matrix. " + ". ".join(words) + ".", caption=caption, data=data)


def stranded(table: Table) -> Picture:
    """Dollars an hour for the nodes that so many replicas need on each pool: for GPUs in use, and for those that wait.

    :raises LabError: when the table holds no pool.
    """
    rows = table.dicts()
    if not rows or table.kind != "stranded":
        raise LabError("Nothing to draw: no pool was priced.", fix="cluster.cost(replicas=2)")
    figure = new_figure(7.4, 1.4 + 0.5 * len(rows))
    axes = figure.subplots()
    dress(axes, quantity="US dollars an hour", below="")
    axes.grid(False)
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)
    numbers: list[dict[str, Any]] = []
    for y, row in enumerate(rows):
        paid, gpus, used = (float(row[key] or 0) for key in ("dollars", "gpus", "used"))
        busy = paid * used / gpus
        axes.barh(
            y,
            busy,
            height=0.6,
            color=GREEN,
            edgecolor=INK,
            linewidth=0.6,
            label="GPUs in use" if y == 0 else None,
        )
        axes.barh(
            y,
            paid - busy,
            left=busy,
            height=0.6,
            color=ORANGE,
            hatch="////",
            edgecolor=INK,
            linewidth=0.6,
            label="GPUs that wait" if y == 0 else None,
        )
        axes.text(
            paid, y, f"  ${paid:.2f}, {used:.0f} of {gpus:.0f} GPUs", va="center", fontsize=9, color=INK
        )
        numbers.append(
            {
                "pool": row["pool"],
                "dollars": paid,
                "stranded": round(paid - busy, 2),
                "gpus": gpus,
                "used": used,
            }
        )
    axes.set_yticks(range(len(rows)), [str(row["pool"]) for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, max(number["dollars"] for number in numbers) * 1.35)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9.5, labelcolor=INK)
    alt = "Cost by pool. " + " ".join(
        f"{number['pool']}: ${number['dollars']:.2f} an hour, of which ${number['stranded']:.2f} for idle GPUs."
        for number in numbers
    )
    return finish(figure, alt=alt, caption=table.note or "", data={"pools": numbers})
