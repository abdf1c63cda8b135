"""Exposure of two units, directive by directive: what each leaves open, and what was closed."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from ...errors import LabError
from ...figures import words
from ...figures.picture import Picture
from ...figures.style import BLUE, INK, ORANGE, QUIET, SLO_LIMIT, Mark, dress, finish, mark_guess, new_figure
from ...records.schema import Table

OVERALL = "overall"  # the directive column of the rows that hold a unit's total
BEFORE, AFTER = Mark(ORANGE, "s", "-", "////"), Mark(BLUE, "o", "-")
ROW = 0.215  # inches
PAPER = {
    "facecolor": "white",
    "edgecolor": "none",
    "pad": 0.6,
}  # behind text, so that no grid line runs through it


def exposure(table: Table, *, bound: float | None = None, guess: float | None = None) -> Picture:
    """Two bars a directive, the first unit of the table above the second; the totals in a panel of their own.

    Directives are those of `systemd-analyze security`, tests of one directive added up. Those that leave nothing open
    in either unit are not drawn.

    :param bound: a total that must not be exceeded, drawn as a line.
    :param guess: a total that the reader named beforehand, marked.
    :raises LabError: when the table is of another kind, or has not exactly two units.
    """
    rows = table.dicts()
    units = list(dict.fromkeys(str(row["unit"]) for row in rows))
    if table.kind != "exposure" or len(units) != 2:
        raise LabError(
            f"This figure compares the exposure of two units, not {words.count(len(units), 'thing')} of kind {table.kind}."
        )
    totals = [_of(rows, unit, OVERALL) for unit in units]
    names = {str(row["directive"]) for row in rows if row["directive"] != OVERALL}
    shares = {name: [_of(rows, unit, name) for unit in units] for name in names}
    # The most open first; of those that are alike, those that were closed.
    order = sorted(
        (n for n in names if max(shares[n]) > 0), key=lambda n: (-shares[n][0], shares[n][1], n.lower())
    )

    figure = new_figure(7.2, 2.2 + ROW * len(order))
    top, below = figure.subplots(2, 1, height_ratios=[1.1, ROW * len(order) + 0.5])
    _totals(top, units, totals, bound)
    mark_guess(top, guess)
    _directives(below, order, shares)
    closed = [n for n in order if shares[n][0] > 0 and shares[n][1] == 0]
    data = {
        "units": units,
        "overall": totals,
        "directives": {n: shares[n] for n in order},
        "closed": len(closed),
    }
    return finish(figure, alt=_alt(units, totals, order, shares, bound), caption=_caption(table), data=data)


def _of(rows: list[dict[str, Any]], unit: str, directive: str) -> float:
    found = [row["exposure"] for row in rows if row["unit"] == unit and row["directive"] == directive]
    return round(sum(float(score or 0) for score in found), 1)


def _bars(axes: Axes, places: list[float], values: list[float], mark: Mark, height: float) -> None:
    hatched = bool(mark.hatch)
    drawn = [(place, value) for place, value in zip(places, values, strict=True) if value > 0]
    axes.barh(
        [place for place, _ in drawn],
        [value for _, value in drawn],
        height=height,
        color="white" if hatched else mark.colour,
        edgecolor=mark.colour,
        hatch=mark.hatch or None,
        linewidth=1.0,
        zorder=3,
    )


def _totals(axes: Axes, units: list[str], totals: list[float], bound: float | None) -> None:
    dress(axes, quantity="Exposure in all (0 to 10, systemd-analyze security)")
    for place, (unit, total, mark) in enumerate(zip(units, totals, (BEFORE, AFTER), strict=True)):
        _bars(axes, [place], [total], mark, 0.62)
        axes.text(
            total + 0.12, place, f"{total:.1f}", va="center", fontsize=10, color=mark.ink, fontweight="bold"
        )
        axes.text(-0.12, place, unit, va="center", ha="right", fontsize=9.5, color=mark.ink)
    if bound is not None:
        axes.plot(
            [bound] * 2,
            [1.5, -0.5],
            color=SLO_LIMIT.colour,
            linestyle=SLO_LIMIT.dash,
            linewidth=1.4,
            zorder=4,
        )
        text = f"the lab's bound: {bound:g}"
        axes.text(
            bound,
            -0.58,
            text,
            color=SLO_LIMIT.ink,
            fontsize=9,
            ha="center",
            va="bottom",
            zorder=5,
            bbox=PAPER,
        )
    axes.set_ylim(1.5, -1.1)
    axes.set_xlim(0, 10)
    axes.set_yticks([])
    axes.grid(False, axis="y")
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)


def _directives(axes: Axes, order: list[str], shares: dict[str, list[float]]) -> None:
    dress(
        axes,
        quantity="What each directive leaves open",
        below="share of the exposure (tests of one directive added up)",
    )
    for index, mark in enumerate((BEFORE, AFTER)):
        places = [place + (-0.2, 0.2)[index] for place in range(len(order))]
        _bars(axes, places, [shares[name][index] for name in order], mark, 0.38)
    for place, name in enumerate(order):
        before, after = shares[name]
        change = f"{before:.1f} → " + (f"{after:.1f}" if after else "closed")
        text = change if before != after else f"{before:.1f}, as before"
        axes.text(max(before, after) + 0.04, place, text, va="center", fontsize=8.5, color=QUIET, bbox=PAPER)
    axes.set_yticks(range(len(order)), order, fontsize=8.5, color=INK)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(0, max((max(pair) for pair in shares.values()), default=1.0) * 1.22)
    axes.grid(False, axis="y")
    axes.grid(True, axis="x", color="#DDDDDD", linewidth=0.8)


def _alt(
    units: list[str],
    totals: list[float],
    order: list[str],
    shares: dict[str, list[float]],
    bound: float | None,
) -> str:
    out = [f"Exposure of two units: {units[0]} {totals[0]:.1f}, {units[1]} {totals[1]:.1f} of 10."]
    if bound is not None:
        out.append(f"The bound is {bound:g}.")
    named = [f"{name} {shares[name][0]:.1f} to {shares[name][1]:.1f}" for name in order[:5]]
    if named:
        out.append(f"The most open before: {words.sentence_list(named)}.")
    left = sorted((name for name in order if shares[name][1] > 0), key=lambda name: -shares[name][1])[:4]
    if left and totals[0] != totals[1]:
        out.append(f"Still open: {words.sentence_list([f'{name} {shares[name][1]:.1f}' for name in left])}.")
    return " ".join(out)


def _caption(table: Table) -> str:
    version = table.versions.get("systemd")
    out = [
        f"Read from the unit files by systemd {version or 'of this machine'}; the same file gives the same figure.",
        "Each test's share is rounded up to a tenth, so the shares add up to more than the total.",
    ]
    if table.note:
        out.append(table.note)
    return " ".join(out)
