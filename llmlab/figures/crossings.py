"""Where two lines of a logarithmic figure cross, and the rings that mark it; and how money is written."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from .style import BLACK, INK

APART = 0.055  # of the axis' height: labels of crossings are at least so far from each other


def crossing(
    before: tuple[float, float, float], after: tuple[float, float, float]
) -> tuple[float, float] | None:
    """Where two lines cross that are straight on logarithmic axes; None where they do not.

    :param before: x, and what the one and the other are worth there; `after`: the same further on. All above 0.
    """
    (x0, first0, second0), (x1, first1, second1) = before, after
    ahead, behind = math.log(second0 / first0), math.log(first1 / second1)
    if ahead * behind < 0:
        return None
    share = ahead / (ahead + behind) if ahead + behind else 0.0
    return x0 * (x1 / x0) ** share, first0 * (first1 / first0) ** share


def rings(axes: Axes, places: Sequence[tuple[float, float, str]]) -> None:
    """A ring at each x and y, and its text below it on the left, none over another. The limits of the axes are final."""
    axes.get_xlim(), axes.get_ylim()  # matplotlib sets them when they are asked for
    inside = axes.transData + axes.transAxes.inverted()
    taken: list[tuple[float, float]] = []
    for x, y, text in places:
        axes.plot(
            x, y, marker="o", markersize=11, markerfacecolor="none", markeredgecolor=BLACK, markeredgewidth=1.8, zorder=5,
            linestyle="",
        )  # fmt: skip
        across, height = (float(share) for share in inside.transform((x, y)))
        height -= 0.085
        while any(abs(across - other) < 0.2 and abs(height - place) < APART for other, place in taken):
            height -= APART
        taken.append((across, height))
        near = across < 0.2
        axes.text(
            0.01 if near else across + 0.01,
            max(height, 0.03),
            text,
            transform=axes.transAxes,
            ha="left" if near else "right",
            va="center",
            fontsize=9.5,
            fontweight="bold",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5, "alpha": 0.85},
            zorder=6,
        )


def money(value: float) -> str:
    """US dollars to three digits: $1,371, $0.973."""
    return f"${value:,.0f}" if value >= 100 else f"${value:.3g}"
