"""Tokens per second against the layers that lie on the GPU."""

from __future__ import annotations

from ...errors import LabError
from ...figures.picture import Picture
from ...figures.style import THROUGHPUT, draw_points, dress, finish, from_zero, new_figure, x_at
from ...records import stats
from ...records.schema import Table


def offload(table: Table) -> Picture:
    """Medians with bars from the slowest to the fastest reply.

    :raises LabError: when the table holds no speed.
    """
    rows = table.dicts()
    if not rows or table.kind != "offload":
        raise LabError("Nothing to draw: no reply was timed.", fix="offload(lab)")
    by: dict[int, list[float]] = {}
    for row in rows:
        by.setdefault(int(row["layers"] or 0), []).append(float(row["speed"] or 0))
    layers = sorted(by)
    spans = [stats.Spread.of(by[layer]) for layer in layers]
    figure = new_figure(7.2, 4.2)
    axes = figure.subplots()
    dress(axes, quantity="Speed (tokens per second)", below="layers on the GPU (--n-gpu-layers)")
    x_at(axes, layers)
    from_zero(axes, max(span.high for span in spans), headroom=1.1)
    still = [False] * len(layers)
    draw_points(axes, layers, spans, THROUGHPUT, THROUGHPUT.dash, hollow=still, crossed=still)
    first, best = spans[0].median, max(span.median for span in spans)
    at = layers[[span.median for span in spans].index(best)]
    alt = (
        f"Speed by layers on the GPU. {layers[0]} layers: {first:.0f} tokens per second; the most is {best:.0f} at {at} layers"
        + (f", {best / first:.1f} times as much." if first else ".")
    )
    repeats = min(len(it) for it in by.values())
    caption = (
        f"Median of {repeats} replies, bars from the slowest to the fastest. {table.machine.line} ({table.machine.profile})."
        + (f" {table.note}" if table.note else "")
    )
    data = {"layers": layers, "median": [span.median for span in spans]}
    return finish(figure, alt=alt, caption=caption, data=data)
