"""What a policy costs each continent, how an incident went against its prediction, who flapped, how the survivors fared."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ...errors import LabError
from ...figures import words
from ...figures.picture import Picture
from ...figures.style import (
    BLUE,
    FAILED,
    INK,
    ORANGE,
    PURPLE,
    QUIET,
    REGIONS,
    SHADE,
    SKY,
    Mark,
    dress,
    finish,
    mark_guess,
    new_figure,
    series,
)
from ...records.schema import Table

CONTINENTS = {
    "NA": "North America",
    "SA": "South America",
    "EU": "Europe",
    "AF": "Africa",
    "AS": "Asia",
    "OC": "Oceania",
}
MARKERS = {"us": "o", "eu": "s", "asia": "^"}
PARTS = {"check": ORANGE, "checks": ORANGE, "TTL": SKY, "client": PURPLE}
Row = dict[str, Any]


def policies(table: Table, *, guess: Any = None) -> Picture:
    """A panel for each continent: the share of its users' requests that took so long or less, a line for each policy.

    :param guess: milliseconds that the reader predicted; marked.
    :raises LabError: when nobody was served.
    """
    rows = table.dicts()
    if table.kind != "policies" or not rows:
        raise LabError("Nothing to draw: nobody was served.", fix="regions.policies()")
    names = list(dict.fromkeys(str(row["policy"]) for row in rows))
    places = [continent for continent in CONTINENTS if any(row["users"] == continent for row in rows)]
    figure = new_figure(8.4, 5.2)
    panels = list(figure.subplots(2, 3, sharex=True, sharey=True).flat)
    top = float(np.percentile([float(row["ms"] or 0) for row in rows], 99)) * 1.05
    medians: dict[str, dict[str, float]] = {}
    lines: dict[str, Line2D] = {}
    for axes, place in zip(panels, places, strict=False):
        dress(axes, quantity=CONTINENTS[place])
        for n, name in enumerate(names):
            own = [row for row in rows if row["policy"] == name and row["users"] == place]
            values = np.sort([float(row["ms"] or 0) for row in own])
            if not len(values):
                continue
            medians.setdefault(name, {})[place] = float(np.median(values))
            mark = series(n)
            shares = np.arange(1, len(values) + 1) / len(values)
            look: dict[str, Any] = {"color": mark.colour, "linestyle": mark.dash, "linewidth": 1.8}
            (lines[name],) = axes.step(values, shares, where="post", **look)
        axes.set_xlim(0, top)
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
        mark_guess(axes, guess, name=axes is panels[0])
    panels[len(panels) - 2].set_xlabel("milliseconds to a small reply", fontsize=10, color=INK)
    figure.legend(
        lines.values(), lines, loc="outside lower center", ncols=5, frameon=False, fontsize=9, labelcolor=INK
    )
    said = "; ".join(
        f"{name} {min(own.values()):.0f} to {max(own.values()):.0f} ms" for name, own in medians.items()
    )
    n = len(rows) // max(1, len(names) * len(places))
    caption = f"Share of requests answered within a time, about {n} a line. Medians over the continents: {said}. Distances are emulated."
    return finish(
        figure, alt=f"Latency by continent and policy. {said}.", caption=caption, data={"medians": medians}
    )


def incident(table: Table, *, guess: Any = None) -> Picture:
    """Above, each request of the first incident by who asked and who answered; below, the prediction part by part, and what was measured.

    :param guess: seconds that the reader predicted; marked below.
    :raises LabError: when nothing was lost.
    """
    rows = table.dicts()
    asked = [row for row in rows if row["what"] == "request" and row["turn"] == 0]
    if table.kind != "incident" or not asked:
        raise LabError("Nothing to draw: no region was lost.", fix='regions.lose("us")')
    parts = [(str(row["users"]), float(row["took"] or 0)) for row in rows if row["what"] == "predicted"]
    promise = next((float(row["took"] or 0) for row in rows if row["what"] == "promised"), 0.0)
    measured = [row["took"] for row in rows if row["what"] == "measured"]
    taken = [float(duration) for duration in measured if duration is not None]
    end = next(float(row["at"] or 0) for row in rows if row["what"] == "event")
    figure = new_figure(8.2, 5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.4, 1])
    what = table.note or "a region lost"
    dress(upper, quantity=f"Requests, by who asked: {what} at 0 s, back at {end:.1f} s")
    _requests(upper, asked, end)
    dress(lower, quantity="Until its users are served again", below="seconds from the loss")
    lower.grid(False)
    at = 0.0
    # As far as something happened: a promise of an hour would leave nothing to see of the seconds.
    limit = max(float(row["at"] or 0) + float(row["took"] or 0) for row in asked) + 0.5
    for name, seconds in parts:
        shown = min(seconds, limit - at)
        if shown <= 0:
            at += seconds
            continue
        lower.barh(1, shown, left=at, height=0.55, color=PARTS.get(name, QUIET), edgecolor="white")
        if shown > 0.09 * limit:
            beyond = " →" if shown < seconds else ""
            text = f"{name} {seconds:g}{beyond}"
            lower.text(at + shown / 2, 1, text, ha="center", va="center", fontsize=8.5, color=INK)
        at += seconds
    if promise <= limit:
        lower.axvline(promise, ymin=0.5, color=INK, linestyle=(0, (4, 2)), linewidth=1.4)
        late = promise > 0.75 * limit
        side: dict[str, Any] = {
            "ha": "right" if late else "left",
            "va": "bottom",
            "fontsize": 8.5,
            "color": INK,
        }
        lower.text(promise, 1.42, f" promised {promise:g} s ", **side)
    else:
        lower.text(limit, 1.42, f"promised {promise:g} s →", ha="right", va="bottom", fontsize=8.5, color=INK)
    if taken:  # an empty line outside its panel would leave a hole below it
        lower.plot(taken, [0] * len(taken), "D", color=BLUE, markersize=7, alpha=0.75, clip_on=False)
    never = len(measured) - len(taken)
    if never:
        lower.text(
            limit * 0.98,
            0,
            f"✗ {never} of {len(measured)} not while it lasted",
            ha="right",
            va="center",
            fontsize=9,
            color=FAILED.ink,
        )
    lower.set_yticks([0, 1], ["measured", "predicted,\nat most"])
    lower.set_ylim(-0.6, 1.75)
    lower.set_xlim(-1.7, limit)
    mark_guess(lower, guess)
    _legend(figure)
    total = sum(seconds for _, seconds in parts)
    spread = f"{min(taken):.1f} to {max(taken):.1f} s in {len(taken)}" if taken else "in none"
    said = f"predicted at most {total:g} s, promised {promise:g} s; users were served again after {spread} of {len(measured)} incidents"
    caption = f"{what}: {said}. Above, the first of them."
    data = {"predicted": total, "promised": promise, "measured": taken, "never": never}
    return finish(figure, alt=f"Recovery timeline, {caption}", caption=caption, data=data)


def flapping(table: Table) -> Picture:
    """A panel for each routing: who answered while a region's server refused, served, refused again.

    :raises LabError: when nothing flapped.
    """
    rows = [row for row in table.dicts() if row["what"] == "request"]
    if table.kind != "incident" or not rows:
        raise LabError("Nothing to draw: nothing flapped.", fix="regions.flapping()")
    names = list(dict.fromkeys(str(row["routing"]) for row in rows))
    region = (table.note or "").split(" ")[0]
    figure = new_figure(8.2, 2.6 * len(names) + 0.6)
    panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    end = next(float(row["at"] or 0) for row in table.dicts() if row["what"] == "event")
    counts = [row for row in table.dicts() if row["what"] == "returned"]
    back = {str(row["routing"]): int(row["took"] or 0) for row in counts}
    for axes, name in zip(panels, names, strict=True):
        own = [row for row in rows if row["routing"] == name]
        dress(axes, quantity=f"{name}: {region} came back {words.count(back[name], 'time')}")
        _requests(axes, own, end)
    panels[-1].set_xlabel("seconds from the first refusal", fontsize=10, color=INK)
    _legend(figure)
    said = "; ".join(f"{name}: came back {words.count(count, 'time')}" for name, count in back.items())
    caption = f"{region}'s server alternately refuses and serves while the ground is grey, and then stays up. {said}."
    return finish(figure, alt=f"A flapping region. {caption}", caption=caption, data={"returns": back})


def survivors(table: Table) -> Picture:
    """The share of all requests that were served within a time, with three regions and with two; what is missing at the top was not served.

    :raises LabError: when nobody asked.
    """
    rows = table.dicts()
    if table.kind != "survivors" or not rows:
        raise LabError("Nothing to draw: nobody asked.", fix="regions.survivors()")
    names = list(dict.fromkeys(str(row["routing"]) for row in rows))
    figure = new_figure(8.2, 4.4)
    panels = np.atleast_1d(figure.subplots(1, len(names), sharex=True, sharey=True))
    looks = {"three regions": Mark(BLUE, "o"), "two regions": Mark(ORANGE, "s", (0, (6, 2)))}
    told, data = [], []
    top = (
        float(np.percentile([float(row["took"] or 0) for row in rows if row["status"] == 200] or [1.0], 99.5))
        * 1.1
    )
    for axes, name in zip(panels, names, strict=True):
        dress(axes, quantity=name, below="seconds")
        for left, mark in looks.items():
            own = [row for row in rows if row["routing"] == name and row["left"] == left]
            if not own:
                continue
            values = np.sort([float(row["took"] or 0) for row in own if row["status"] == 200])
            full = sum(row["status"] == 429 for row in own)
            lost = len(own) - full - len(values)
            shares = np.arange(1, len(values) + 1) / len(own)
            label = f"{left}: {full / len(own):.0%} told 429, {lost / len(own):.0%} failed"
            ends = [*shares, shares[-1] if len(shares) else 0]
            axes.step(
                [*values, top],
                ends,
                where="post",
                color=mark.colour,
                linestyle=mark.dash,
                linewidth=1.9,
                label=label,
            )
            p95 = float(np.percentile(values, 95)) if len(values) else float("nan")
            told.append(f"{name}, {left}: p95 {p95:.2f} s, {full} of {len(own)} told 429, {lost} failed")
            data.append(
                {"routing": name, "left": left, "p95": p95, "shed": full, "lost": lost, "n": len(own)}
            )
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.19), frameon=False, fontsize=8.5, labelcolor=INK)
        axes.set_xlim(0, top)
        axes.set_ylim(0, 1.03)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    panels[0].set_ylabel("share of requests served within", fontsize=9.5, color=INK)
    caption = (
        f"27 requests a second for slots that serve 32 with three regions and 21 with two. {'; '.join(told)}."
    )
    return finish(figure, alt=f"Survivors. {'. '.join(told)}.", caption=caption, data={"sets": data})


def _requests(axes: Axes, rows: list[Row], end: float) -> None:
    """A row of marks for each kind of users, at the time of the answer: colour and shape by region, a cross for none; grey: meanwhile."""
    kinds = list(dict.fromkeys(str(row["users"]) for row in rows))
    kinds.sort(
        key=lambda users: (
            [*CONTINENTS, "residents"].index(users) if users in [*CONTINENTS, "residents"] else 99
        )
    )
    for n, kind in enumerate(kinds):
        own = [row for row in rows if row["users"] == kind]
        for region, (colour, _) in REGIONS.items():
            at = [float(row["at"] or 0) + float(row["took"] or 0) for row in own if row["region"] == region]
            axes.plot(
                at, [n] * len(at), MARKERS[region], color=colour, markersize=5.5, linestyle="", zorder=3
            )
        bad = [float(row["at"] or 0) + float(row["took"] or 0) for row in own if not row["region"]]
        axes.plot(
            bad,
            [n] * len(bad),
            FAILED.marker,
            color=FAILED.ink,
            markersize=6.5,
            markeredgewidth=1.8,
            linestyle="",
            zorder=4,
        )
    axes.axvspan(0, end, color=SHADE, zorder=0)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.set_ylim(len(kinds) - 0.4, -0.6)


def _legend(figure: Any) -> None:
    handles: list[Any] = [
        Line2D([], [], color=colour, marker=MARKERS[name], linestyle="", label=f"answered by {name}")
        for name, (colour, _) in REGIONS.items()
    ]
    handles += [
        Line2D(
            [],
            [],
            color=FAILED.ink,
            marker=FAILED.marker,
            markeredgewidth=1.8,
            linestyle="",
            label="no tokens",
        ),
        Patch(facecolor=SHADE, edgecolor=QUIET, linewidth=0.5, label="while it lasts"),
    ]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=5, frameon=False, fontsize=9, labelcolor=INK
    )
