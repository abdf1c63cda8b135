"""What Terraform would make and made: resources and their references, who reaches whom, how long it took, what a token costs."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter

from ...errors import LabError
from ...figures.picture import Picture
from ...figures.style import (
    BLUE,
    FAILED,
    GREEN,
    INK,
    ORANGE,
    QUIET,
    RULE,
    SHADE,
    dress,
    finish,
    label_ends,
    new_figure,
    series,
)
from ...records.schema import Table


def resources(table: Table) -> Picture:
    """Every resource, in columns: on the left what refers to nothing, and each right of what it refers to.

    What is referred to and not declared is red, dashed and marked.

    :raises LabError: when the table holds no resource.
    """
    rows = table.dicts()
    nodes = {str(row["from"]): bool(row["missing"]) for row in rows if not row["to"]}
    edges = [(str(row["from"]), str(row["to"])) for row in rows if row["to"]]
    if table.kind != "resources" or not nodes:
        raise LabError("Nothing to draw: there is no resource.", fix="infra.graph()")
    columns = _layers(list(nodes), edges)
    tall = max(len(column) for column in columns)
    figure = new_figure(max(7.4, 2.35 * len(columns)), 1.2 + 0.46 * tall)
    axes = figure.subplots()
    dress(axes, quantity="Resources, and what each refers to (on its left)")
    axes.axis("off")
    place = {
        name: (x, (tall - len(column)) / 2 + y)
        for x, column in enumerate(columns)
        for y, name in enumerate(column)
    }
    for name, to in edges:
        (x, y), (u, v) = place[name], place[to]
        bad = nodes[to]
        axes.add_patch(
            FancyArrowPatch(
                (x - 0.44, y), (u + 0.44, v),
                arrowstyle="-|>", mutation_scale=8, shrinkA=0, shrinkB=0,
                color=FAILED.colour if bad else "#AAAAAA",
                linestyle="--" if bad else "-", linewidth=1.6 if bad else 0.8, zorder=1,
            )
        )  # fmt: skip
    for name, (x, y) in place.items():
        bad = nodes[name]
        data = name.startswith("data.")
        axes.add_patch(
            Rectangle(
                (x - 0.44, y - 0.36), 0.88, 0.72,
                facecolor="white" if bad else SHADE if data else "#E4EFF7",
                edgecolor=FAILED.colour if bad else QUIET if data else BLUE,
                linestyle="--" if bad else "-", linewidth=1.4 if bad else 0.9, zorder=2,
            )
        )  # fmt: skip
        kind, _, label = name.removeprefix("data.").rpartition(".")
        short = kind.removeprefix("aws_").replace("vpc_security_group_", "sg ").replace("_", " ")
        text = f"{'✗ ' if bad else ''}{short}\n{label}{' (looked up)' if data and not bad else ''}"
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=7.2,
            color=FAILED.ink if bad else INK,
            zorder=3,
            linespacing=1.1,
        )
    axes.set_xlim(-0.55, len(columns) - 0.45)
    axes.set_ylim(tall - 0.4, -0.6)
    missing = [name for name, bad in nodes.items() if bad]
    said = f"not declared: {', '.join(missing)}" if missing else "all that is referred to is declared"
    caption = f"{len(nodes)} resources and {len(edges)} references as `terraform graph` gives them; {said}."
    return finish(
        figure,
        alt=f"Resource graph: {caption}",
        caption=caption,
        data={"missing": missing, "nodes": list(nodes), "edges": edges},
        zoom=1.5,
    )


def _layers(nodes: list[str], edges: list[tuple[str, str]]) -> list[list[str]]:
    sorter: TopologicalSorter[str] = TopologicalSorter({node: set() for node in nodes})
    for name, to in edges:
        sorter.add(name, to)
    try:
        sorter.prepare()
    except CycleError:  # Terraform refuses it; drawn in one column, it can still be looked at
        return [nodes]
    columns: list[list[str]] = []
    while sorter.is_active():
        ready = list(sorter.get_ready())
        columns.append(sorted(ready))
        sorter.done(*ready)
    # Neighbours close to what they refer to: by the mean height of that, column by column.
    height: dict[str, float] = {}
    for column in columns:
        column.sort(
            key=lambda node: (np.mean([height[to] for name, to in edges if name == node] or [-1.0]), node)
        )
        for y, node in enumerate(column):
            height[node] = (y + 0.5) / len(column)
    return columns


def reachability(table: Table) -> Picture:
    """Rows are who opens a connection, columns where to: the TCP ports that are open, green where that is meant to be.

    :raises LabError: when the table holds nothing.
    """
    rows = table.dicts()
    if table.kind != "reachability" or not rows:
        raise LabError("Nothing to draw: nothing was created.", fix="infra.reach()")
    sources = list(dict.fromkeys(str(row["source"]) for row in rows))
    places = list(dict.fromkeys(str(row["to"]) for row in rows))
    figure = new_figure(7.4, 1.3 + 0.72 * len(sources))
    axes = figure.subplots()
    dress(axes, quantity="TCP ports that are open")
    axes.grid(False)
    axes.spines["bottom"].set_visible(False)
    wrong = []
    for row in rows:
        x, y = places.index(str(row["to"])), sources.index(str(row["source"]))
        good, ports = bool(row["meant"]), str(row["ports"])
        closed = ports == "none"
        colour = (SHADE if closed else GREEN) if good else FAILED.colour
        axes.add_patch(
            Rectangle(
                (x - 0.47, y - 0.43),
                0.94,
                0.86,
                facecolor=colour,
                edgecolor=QUIET,
                linewidth=0.8,
                hatch="" if good else "//",
            )
        )
        text = (
            ("closed" if closed else ports)
            if good
            else f"✗ {'closed, and must be open' if closed else ports}"
        )
        box = {"facecolor": colour, "edgecolor": "none", "pad": 2.0} if not good else None
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=10,
            color=QUIET if good and closed else "white",
            bbox=box,
        )
        if not good:
            wrong.append(f"{row['source']} to {row['to']}: {ports}")
    axes.set_xlim(-0.5, len(places) - 0.5)
    axes.set_ylim(len(sources) - 0.5, -0.5)
    axes.set_yticks(range(len(sources)), [f"from {source}" for source in sources])
    axes.set_xticks(range(len(places)), [f"to {place}" for place in places])
    axes.xaxis.tick_top()
    axes.tick_params(axis="both", length=0)
    axes.title.set_position((0, 1.2))
    said = "not as meant: " + "; ".join(wrong) if wrong else "each as it is meant to be"
    caption = f"Both ends of each connection, from the security groups that were created; {said}. No packet was sent."
    return finish(
        figure, alt=f"Reachability matrix, {said}.", caption=caption, data={"rows": rows, "wrong": wrong}
    )


def applying(table: Table) -> Picture:
    """One bar for each resource, from the second in which its creation began to the one in which it was done.

    :raises LabError: when nothing was applied.
    """
    rows = [row for row in table.dicts() if row["to"] is not None]
    if table.kind != "apply" or not rows:
        raise LabError("Nothing to draw: nothing was applied.", fix="infra.apply()")
    figure = new_figure(8.2, 1.2 + 0.27 * len(rows))
    axes = figure.subplots()
    end = max(float(row["to"] or 0) for row in rows)
    dress(axes, quantity="What `terraform apply` did when", below="seconds since it began")
    axes.grid(False)
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    for y, row in enumerate(rows):
        begin, done = float(row["from"] or 0), float(row["to"] or 0)
        slow = done - begin > 0.25 * end
        axes.barh(
            y,
            max(done - begin, 0.004 * end),
            left=begin,
            height=0.66,
            color=ORANGE if slow else BLUE,
            hatch="////" if slow else "",
            edgecolor="white" if slow else BLUE,
        )
        if done - begin > 0.03 * end:
            axes.text(done, y, f" {done - begin:.0f} s", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(
        range(len(rows)), [str(row["address"]).removeprefix("aws_") for row in rows], fontsize=8.5
    )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, end * 1.08)
    longest = max(rows, key=lambda row: float(row["to"] or 0) - float(row["from"] or 0))
    span = float(longest["to"] or 0) - float(longest["from"] or 0)
    slowest = (
        f"{longest['address']} took {span:.0f} s: the provider waits that long before it looks, on any AWS"
    )
    caption = f"{len(rows)} resources in {end:.0f} s, of which {slowest}."
    return finish(
        figure, alt=f"Timeline of an apply: {caption}", caption=caption, data={"rows": rows, "end": end}
    )


def per_million(table: Table) -> Picture:
    """US dollars for a million tokens over how busy the machine is, a line for each kind of machine; both axes logarithmic.

    `dollars an hour ÷ (tokens a second × utilisation × 3600) × 10^6`.

    :raises LabError: when the table holds no machine.
    """
    rows = table.dicts()
    if table.kind != "per-million" or not rows:
        raise LabError("Nothing to draw: no machine was priced.", fix="infra.cost(longest)")
    figure = new_figure(7.4, 4.4)
    axes = figure.subplots()
    dress(
        axes,
        quantity="US dollars for a million tokens",
        below="tokens written, of those that all slots could write",
    )
    shares = np.geomspace(0.02, 1, 40)
    rate, at = float(rows[0]["tokens_per_second"] or 0), float(rows[0]["utilisation"] or 1)
    ends: list[tuple[float, str, Any]] = []
    numbers = []
    for n, row in enumerate(rows):
        dollars = float(row["dollars"] or 0)
        mark = series(n)
        cost = dollars / (rate * shares * 3600) * 1e6
        axes.plot(shares, cost, color=mark.colour, linestyle=mark.dash, linewidth=1.8)
        here = dollars / (rate * at * 3600) * 1e6
        axes.plot(at, here, marker=mark.marker, color=mark.colour, markersize=7, linestyle="")
        ends.append((float(cost[-1]), f"{row['machine']}  ${here:,.2f}", mark))
        numbers.append({"machine": row["machine"], "dollars_per_million": round(here, 3)})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.02, 1)
    axes.set_xticks([0.02, 0.05, 0.1, 0.25, 0.5, 1], ["2 %", "5 %", "10 %", "25 %", "50 %", "100 %"])
    axes.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"${v:,.10g}"))
    axes.axvline(at, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    axes.text(
        at,
        1.01,
        f"one steady user: {at:.0%}",
        transform=axes.get_xaxis_transform(),
        fontsize=9,
        color=INK,
        ha="center",
        va="bottom",
    )
    low, high = axes.get_ylim()
    scaled = [
        (axes.get_ylim()[1] * float(np.log(value / low) / np.log(high / low)), text, mark)
        for value, text, mark in ends
    ]
    label_ends(axes, scaled)
    caption = table.note or ""
    said = "; ".join(f"{number['machine']} ${number['dollars_per_million']:,.2f}" for number in numbers)
    return finish(
        figure,
        alt=f"Cost for a million tokens at {at:.0%} utilisation: {said}.",
        caption=caption,
        data={"machines": numbers},
    )
