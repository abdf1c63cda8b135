"""What was measured here beside what was recorded on another machine: one figure, two captions, and no doubt which is which."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from ..errors import LabError
from ..records.schema import Record
from . import words
from .picture import Picture
from .points import Metric, Point, chosen, first_token, gather, quantile, speed
from .style import Mark, draw_points, dress, finish, label_ends, new_figure, series, x_at
from .throughput import load_of


def recorded(own: Record | None, others: Sequence[Record]) -> Picture:
    """Tokens per second and median TTFT against concurrency, of closed loops; both on logarithmic scales, since a GPU is far away.

    :param own: what was measured here; None: nothing was, and only what was recorded is drawn.
    :param others: what was recorded elsewhere.
    :raises LabError: when no record holds a closed loop with samples.
    """
    records = [*([own] if own is not None else []), *others]
    if not records:
        raise LabError(
            "Nothing to draw: there is no record.", fix="run = server.load(concurrency=[1, 2, 4, 8])"
        )
    lines = [
        gather(chosen(record, lambda run: run.plan.pattern == "closed", what="closed loops"), load_of)
        for record in records
    ]
    names = [_name(record, mine=record is own) for record in records]
    figure = new_figure(7.2, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True)
    dress(upper, quantity="Throughput (tokens per second, logarithmic)")
    dress(
        lower,
        quantity="Median time to first token (seconds, logarithmic)",
        below="concurrency (streams kept open)",
    )
    x_at(lower, [point.x for line in lines for point in line])
    for panel, metric in ((upper, speed), (lower, quantile(first_token, 50))):
        _draw(panel, lines, names, metric)
    said = [
        f"{name[0].upper() + name[1:]}: {_about(record)}" for name, record in zip(names, records, strict=True)
    ]
    alt = " ".join(
        f"{name[0].upper() + name[1:]}: {words.number(_best(line))} tokens/s at most, first token after "
        f"{words.seconds(line[0].over(quantile(first_token, 50)).median)} at concurrency {line[0].x:g}."
        for name, line in zip(names, lines, strict=True)
    )
    data = {
        name: {
            "x": [point.x for point in line],
            "tokens_per_second": [point.over(speed).median for point in line],
            "recorded": record is not own,
        }
        for name, line, record in zip(names, lines, records, strict=True)
    }
    return finish(figure, alt=alt, caption=" ".join(said), data=data)


def _name(record: Record, *, mine: bool) -> str:
    """What a line is called: yours, or what was recorded, by its device."""
    device = record.servers[0].device
    if mine:
        return f"yours ({device.used.upper()})"
    if device.name is None:
        return f"recorded: {record.machine.cpu}"
    # llama-server's "CUDA0: NVIDIA H200 (143156 MiB, …)"
    return "recorded: " + (device.name.partition(": ")[2] or device.name).partition(" (")[0]


def _about(record: Record) -> str:
    """One record's own caption; of one made elsewhere with its date, driver and CUDA."""
    device = record.servers[0].device
    said = words.setting(record, range(len(record.servers)))
    made = [f"Driver {device.driver}"] if device.driver else []
    made += [f"CUDA {device.cuda}"] if device.cuda else []
    said += (f" {', '.join(made)}." if made else "") + f" Measured on {record.created[:10]}."
    doubts = words.doubts(record.runs, lambda run: f"concurrency {run.plan.concurrency}")
    return f"{said} {doubts}" if doubts else said


def _best(line: Sequence[Point]) -> float:
    return max(point.over(speed).median for point in line)


def _draw(axes: Axes, lines: Sequence[Sequence[Point]], names: Sequence[str], metric: Metric) -> None:
    spans = [[point.over(metric) for point in line] for line in lines]
    known = [span for each in spans for span in each if span.n and span.low > 0]
    axes.set_yscale("log")
    axes.set_ylim(min(span.low for span in known) / 1.6, max(span.high for span in known) * 1.6)
    axes.yaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    marks: list[Mark] = [series(place) for place in range(len(lines))]
    for line, each, mark in zip(lines, spans, marks, strict=True):
        draw_points(
            axes,
            [point.x for point in line],
            each,
            mark,
            mark.dash,
            hollow=[point.noisy for point in line],
            crossed=[point.client_limited for point in line],
        )
    # "recorded:" above the GPU's name: long names would take the width of the panel
    ends = [
        (each[-1].median, name.replace(": ", ":\n", 1), mark)
        for each, name, mark in zip(spans, names, marks, strict=True)
    ]
    label_ends(axes, ends, gap=0.15)
