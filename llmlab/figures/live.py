"""The small chart that moves while a load runs: drawn in about 35 ms, 2 to 4 times a second."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from . import words
from .picture import Picture
from .style import THROUGHPUT, dress, finish, from_zero


def live(points: Sequence[tuple[float, float]], *, label: str = "", window: float = 30.0) -> Picture:
    """Tokens per second over the last `window` seconds; `points` are (seconds since the start, tokens/s).

    72 dpi and a fixed layout: quick rather than fine. `label` says what runs, e.g. "concurrency 4".
    """
    figure = Figure(figsize=(5.2, 1.9), dpi=72, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.095, 0.235, 0.80, 0.60))
    dress(axes, quantity="tokens per second" + (f", {label}" if label else ""), below="seconds")
    now = points[-1][0] if points else 0.0
    start = max(0.0, now - window)
    shown = [(t, v) for t, v in points if t >= start]
    axes.set_xlim(start, max(now, start + 5.0))
    from_zero(axes, max((v for _, v in shown), default=1.0), headroom=1.15)
    alt = "No tokens yet." + (f" {label}." if label else "")
    if shown:
        xs, ys = [t for t, _ in shown], [v for _, v in shown]
        axes.fill_between(xs, ys, color=THROUGHPUT.colour, alpha=0.12, linewidth=0)
        axes.plot(xs, ys, color=THROUGHPUT.colour, linewidth=1.8)
        axes.plot(
            xs[-1], ys[-1], color=THROUGHPUT.colour, marker=THROUGHPUT.marker, markersize=6, clip_on=False
        )
        axes.annotate(
            words.number(ys[-1]),
            (xs[-1], ys[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            fontweight="bold",
            color=THROUGHPUT.ink,
            annotation_clip=False,
        )
        alt = (
            f"{words.number(ys[-1])} tokens/s after {words.number(now)} s{', ' + label if label else ''}; "
            f"between {words.number(min(ys))} and {words.number(max(ys))} in the last {now - start:.0f} s."
        )
    data = {"seconds": [t for t, _ in points], "tokens_per_second": [v for _, v in points]}
    return finish(figure, alt=alt, caption=label, data=data)
