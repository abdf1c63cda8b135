"""How every figure looks: colours with a fixed meaning, a second cue for each, and nothing else.

Colours are Okabe and Ito's (https://jfly.uni-koeln.de/color/), told apart by readers with any colour vision;
marker and dash say the same thing again for print and for those who see no colour.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ..records.stats import Spread
from .picture import Picture

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
#: What a region looks like in all labs: its colour, and its letter.
REGIONS = {"us": (BLUE, "U"), "eu": (ORANGE, "E"), "asia": (GREEN, "A")}
PURPLE, SKY, YELLOW, BLACK = "#CC79A7", "#56B4E9", "#F0E442", "#000000"
INK, QUIET, RULE, SHADE = "#222222", "#666666", "#DDDDDD", "#F3F3F3"

Dash = str | tuple[float, tuple[float, ...]]
DPI = 144  # two device pixels per CSS pixel at 72 dots an inch


@dataclass(frozen=True, slots=True)
class Mark:
    """Colour, marker, dash and hatch: what one quantity looks like in all labs."""

    colour: str
    marker: str
    dash: Dash = "-"
    hatch: str = ""

    @property
    def ink(self) -> str:
        """The colour, darkened until text in it can be read on white (WCAG contrast 4.5 or more)."""
        return readable(self.colour)


THROUGHPUT = Mark(BLUE, "o")
GOODPUT = Mark(GREEN, "D", (0, (5, 1.5)))
FIRST_TOKEN = Mark(ORANGE, "s", "-", "////")
END_TO_END = Mark(PURPLE, "^", "-")
DECODING = Mark(BLUE, "o", "-", "")
FAILED = Mark(VERMILLION, "x")
SLO_LIMIT = Mark(VERMILLION, "", (0, (6, 2, 1, 2)))
GUESS = Mark(VERMILLION, "^", (0, (1, 1.6)))
SLOTS = Mark(INK, "", (0, (2, 2)))
# Things of one kind (servers, quotas, loads) in order; never more than these in one figure without repeats.
SERIES = (
    Mark(BLUE, "o", "-"),
    Mark(ORANGE, "s", (0, (6, 2))),
    Mark(GREEN, "^", (0, (2, 1.2))),
    Mark(PURPLE, "D", (0, (6, 1.5, 1.5, 1.5))),
    Mark(VERMILLION, "v", (0, (9, 2))),
    Mark(SKY, "P", (0, (4, 1.2, 1.2, 1.2, 1.2, 1.2))),
    Mark(BLACK, "X", (0, (1, 1))),
)


def contrast(colour: str) -> float:
    """Contrast ratio of `colour` on white, 1 to 21 (WCAG 2.2, relative luminance)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


def readable(colour: str) -> str:
    """`colour` mixed with black until its contrast on white is at least 4.5."""
    for step in range(20):
        mixed = "#" + "".join(f"{round(255 * c * (1 - step / 20)):02x}" for c in to_rgb(colour))
        if contrast(mixed) >= 4.5:
            return mixed
    return BLACK


def series(index: int) -> Mark:
    """The look of the `index`-th thing of one kind."""
    return SERIES[index % len(SERIES)]


def new_figure(width: float = 7.2, height: float = 5.0) -> Figure:
    """An empty white figure (inches) with its own canvas; no global matplotlib state is touched."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.09, hspace=0.04, wspace=0.04))
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, quantity: str, below: str | None = None) -> None:
    """Common look of one panel: the quantity and its unit above it on the left, quiet grid, no box."""
    axes.set_facecolor("white")
    axes.set_title(quantity, loc="left", fontsize=10.5, color=INK, fontweight="bold", pad=9)
    if below is not None:
        axes.set_xlabel(below, fontsize=10, color=INK, labelpad=5)
    axes.grid(True, axis="y", color=RULE, linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="both", labelsize=9.5, colors=INK, color=QUIET, length=3)
    axes.tick_params(axis="y", length=0)


def from_zero(axes: Axes, top: float, *, headroom: float = 1.08) -> None:
    """Let y start at 0 and end a little above `top`, with few round ticks."""
    axes.set_ylim(0, (top if top > 0 and np.isfinite(top) else 1.0) * headroom)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))


def x_at(axes: Axes, values: Iterable[float]) -> None:
    """Ticks exactly at the measured `values`; linear from 0, or in doubling steps beyond a span of 16."""
    ticks = sorted(set(values))
    low, high = ticks[0], ticks[-1]
    if low > 0 and high / low > 16:
        axes.set_xscale("log", base=2)
        axes.set_xlim(low / 1.25, high * 1.06)
    else:
        axes.set_xlim(0, high * (1.03 if high > low else 2) or 1)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.6g}"))


def draw_points(
    axes: Axes,
    xs: Sequence[float],
    spans: Sequence[Spread],
    mark: Mark,
    dash: Dash,
    *,
    hollow: Sequence[bool],
    crossed: Sequence[bool],
) -> None:
    """A line through medians, bars from lowest to highest; noisy ones hollow, doubtful ones crossed out."""
    axes.plot(xs, [s.median for s in spans], color=mark.colour, linestyle=dash, linewidth=1.8, zorder=3)
    for x, span, noisy, doubtful in zip(xs, spans, hollow, crossed, strict=True):
        if not np.isfinite(span.median):
            continue
        if span.high > span.low:
            axes.plot(
                [x, x],
                [span.low, span.high],
                color=mark.colour,
                linewidth=1.3,
                marker="_",
                markersize=7,
                zorder=3.2,
                clip_on=False,
            )
        axes.plot(
            x,
            span.median,
            marker=mark.marker,
            markersize=6.5,
            linestyle="",
            markeredgecolor=mark.colour,
            markeredgewidth=1.5,
            markerfacecolor="white" if noisy else mark.colour,
            zorder=4,
            clip_on=False,
        )
        if doubtful:
            axes.plot(
                x,
                span.median,
                marker="x",
                markersize=11,
                color=INK,
                markeredgewidth=1.4,
                zorder=5,
                clip_on=False,
            )


def mark_guess(axes: Axes, guess: Any, *, along: str = "x", name: bool = True) -> None:
    """The reader's own guess as a dotted line with a triangle at its foot; nothing where it is no number inside the axes.

    :param along: "x": a value of the x axis (the line is upright); "y": of the y axis.
    :param name: whether "your guess" stands at the line (in one of the panels is enough).
    """
    if isinstance(guess, bool) or not isinstance(guess, int | float) or not np.isfinite(guess):
        return
    upright = along == "x"
    low, high = sorted(axes.get_xlim() if upright else axes.get_ylim())
    if not low <= guess <= high:
        return
    (axes.axvline if upright else axes.axhline)(
        guess, color=GUESS.colour, linestyle=GUESS.dash, linewidth=1.4, zorder=2.2
    )
    foot = axes.get_xaxis_transform() if upright else axes.get_yaxis_transform()
    where = (guess, 0.0) if upright else (0.0, guess)
    axes.plot(*where, marker="^" if upright else ">", markersize=8, color=GUESS.colour, transform=foot,
              clip_on=False, zorder=5)  # fmt: skip
    if name:
        place = (guess, 0.98) if upright else (0.01, guess)
        axes.annotate("your guess", place, xycoords=foot, xytext=(4, 0 if upright else 3), textcoords="offset points",
                      color=GUESS.ink, fontsize=9, va="top" if upright else "bottom", ha="left", zorder=5)  # fmt: skip


def spread(places: Sequence[float], gap: float, *, low: float = 0.0, high: float = 1.0) -> list[float]:
    """Move `places` apart until neighbours are `gap` away, in their order, inside low..high if it fits."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = [places[i] for i in order]
    for _ in range(200):  # relaxation: each overlapping pair is pushed apart by half its overlap
        calm = True
        for i in range(len(moved) - 1):
            overlap = gap - (moved[i + 1] - moved[i])
            if overlap > 1e-6:
                moved[i] -= overlap / 2
                moved[i + 1] += overlap / 2
                calm = False
        if moved and moved[0] < low:
            moved[0] = low
        if moved and moved[-1] > high:
            moved[-1] = high
        if calm:
            break
    out = [0.0] * len(places)
    for place, i in zip(moved, order, strict=True):
        out[i] = place
    return out


def label_ends(axes: Axes, ends: Sequence[tuple[float, str, Mark]], *, gap: float = 0.085) -> None:
    """Name each line at the right edge, beside its last value, none over another; "" is not named. Axes from 0, or logarithmic."""
    named = [end for end in ends if end[1] and np.isfinite(end[0])]
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log":
        wanted = [float(np.log(value / low) / np.log(high / low)) for value, _, _ in named]
    else:
        wanted = [value / high for value, _, _ in named]
    for (_, text, mark), place in zip(named, spread(wanted, gap, low=0.02, high=1.02), strict=True):
        axes.text(
            1.015,
            place,
            text,
            transform=axes.transAxes,
            color=mark.ink,
            fontsize=9.5,
            va="center",
            ha="left",
            linespacing=1.15,
        )


def finish(
    figure: Figure,
    *,
    alt: str,
    caption: str,
    data: dict[str, Any],
    dpi: float | None = None,
    zoom: float = 1.0,
) -> Picture:
    """Render `figure`; the same figure gives the same bytes (no date, no version inside).

    :param zoom: how much larger than its inches a page shows it: a figure of much small text is read at 1.5.
    """
    out = io.BytesIO()
    figure.savefig(
        out,
        format="png",
        dpi=dpi or figure.dpi,
        facecolor="white",
        metadata={"Software": None, "Description": alt},
    )
    return Picture(
        png=out.getvalue(), alt=alt, caption=caption, data=data, scale=(dpi or figure.dpi) / 72 / zoom
    )
