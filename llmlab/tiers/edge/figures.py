"""Which origin each country's users reach, as a map of tiles; and what the edge adds to the way."""

from __future__ import annotations

import numpy as np
from matplotlib.patches import Patch, Rectangle

from ...errors import LabError
from ...figures.picture import Picture
from ...figures.style import (
    BLUE,
    FAILED,
    INK,
    ORANGE,
    PURPLE,
    REGIONS,
    SHADE,
    Mark,
    dress,
    finish,
    new_figure,
)
from ...records.schema import Table


def origins(table: Table) -> Picture:
    """A tile for each country, coloured and lettered by the origin that its users reached; a frame where that is not theirs.

    :raises LabError: when nobody was sent anywhere.
    """
    rows = table.dicts()
    if table.kind != "origins" or not rows:
        raise LabError("Nothing to draw: nobody was sent anywhere.", fix="edge.map()")
    sets = list(dict.fromkeys(str(row["set"]) for row in rows))
    figure = new_figure(8.6, 1.1 + 4.1 * len(sets))
    panels = np.atleast_1d(figure.subplots(len(sets), 1))
    said, data = [], []
    for whose, axes in zip(sets, panels, strict=True):
        own = [row for row in rows if row["set"] == whose]
        wrong = [str(row["country"]) for row in own if row["region"] != row["home"]]
        dress(axes, quantity=f"{whose}: where users are sent")
        axes.axis("off")
        for row in own:
            x, y = int(row["column"] or 0), int(row["row"] or 0)
            colour, letter = REGIONS.get(str(row["region"]), (SHADE, "–"))
            away = row["region"] != row["home"]
            axes.add_patch(
                Rectangle(
                    (x - 0.46, y - 0.46), 0.92, 0.92, facecolor=colour, alpha=0.85,
                    edgecolor=FAILED.colour if away else "white", linewidth=2.2 if away else 0.8,
                )
            )  # fmt: skip
            ink = INK if colour in (ORANGE, SHADE) else "white"
            axes.text(x, y - 0.1, str(row["country"]), ha="center", va="center", fontsize=7.6, color=ink)
            axes.text(x, y + 0.27, letter, ha="center", va="center", fontsize=5.6, color=ink)
        axes.set_xlim(-0.6, max(int(row["column"] or 0) for row in own) + 0.6)
        axes.set_ylim(max(int(row["row"] or 0) for row in own) + 0.6, -0.6)
        axes.set_aspect("equal")
        said.append(f"{whose}: {len(wrong)} of {len(own)} countries are sent to a region that is not theirs")
        data.append({"set": whose, "countries": len(own), "wrong": wrong})
    handles = [
        Patch(facecolor=colour, label=f"{letter}: {name}") for name, (colour, letter) in REGIONS.items()
    ]
    handles += [
        Patch(facecolor=SHADE, label="–: nobody"),
        Patch(facecolor="white", edgecolor=FAILED.colour, linewidth=2, label="not their region"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9, labelcolor=INK
    )
    caption = f"A tile for each of {data[0]['countries']} countries, one request each. {'; '.join(said)}."
    alt = f"Map of countries and the origin that each reaches. {'. '.join(said)}."
    return finish(figure, alt=alt, caption=caption, data={"sets": data}, zoom=1.5)


def added(table: Table) -> Picture:
    """How long a small reply takes from the origin directly and through the edge: the share of requests that are as fast or faster.

    :raises LabError: when nothing was measured.
    """
    rows = table.dicts()
    if table.kind != "edge-latency" or not rows:
        raise LabError("Nothing to draw: nothing was measured.", fix="edge.added()")
    figure = new_figure(7.4, 3.9)
    axes = figure.subplots()
    dress(axes, quantity="Share of requests", below="milliseconds to a small reply")
    looks = {"directly": Mark(BLUE, "o"), "through the edge": Mark(PURPLE, "^", (0, (5, 1.5)))}
    medians = {}
    top = 0.0
    for name, mark in looks.items():
        values = np.sort([float(row["ms"] or 0) for row in rows if row["path"] == name])
        if not len(values):
            continue
        medians[name] = float(np.median(values))
        top = max(top, float(np.percentile(values, 98)))
        label = f"{name}, median {medians[name]:.1f} ms"
        axes.step(
            values,
            np.arange(1, len(values) + 1) / len(values),
            where="post",
            color=mark.colour,
            linestyle=mark.dash,
            linewidth=1.8,
            label=label,
        )
    axes.set_xlim(0, top * 1.1)
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right", frameon=False, fontsize=9.5, labelcolor=INK)
    n = len(rows) // max(1, len(medians))
    extra = medians.get("through the edge", 0.0) - medians.get("directly", 0.0)
    caption = f"{n} requests each, alternating; the edge adds {extra:.1f} ms at the median. All on one machine: no distance is in it."
    return finish(
        figure,
        alt=f"Latency with and without the edge: {caption}",
        caption=caption,
        data={"medians": medians, "added": extra},
    )
