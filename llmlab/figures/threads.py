"""Tokens per second against threads, one line per CPU quota: beyond the quota is a cliff."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..records.schema import Record, Run
from . import words
from .picture import Picture
from .points import Series, chosen, gather, speed
from .style import (
    Mark,
    draw_points,
    dress,
    finish,
    from_zero,
    label_ends,
    mark_guess,
    new_figure,
    series,
    x_at,
)

NO_CLIFF = 1.15  # a smaller loss than this is within the noise of a laptop


def threads(record: Record, *, guess: float | None = None) -> Picture:
    """Tokens per second against the thread count, one line per CPU quota; best points and cliffs are named.

    The cliff of a line is its best speed divided by its speed at the most threads measured. Points are
    medians over repeats with bars from the lowest to the highest. Runs that left it to the
    engine are not drawn. With `guess`, a number of threads that the reader named beforehand, marked.

    :raises LabError: when no run states its threads.
    """
    runs = chosen(
        record,
        lambda r: record.servers[r.server].threads is not None,
        what="runs with a set number of threads",
    )
    quotas = sorted({record.servers[r.server].cpus for r in runs}, key=lambda q: (q is None, q))
    lines = []
    for quota in quotas:
        own = [r for r in runs if record.servers[r.server].cpus == quota]
        lines.append(
            Series(_quota(quota, record), own[0].server, gather(own, partial(_threads, record=record)))
        )
    marks = [series(i) for i in range(len(lines))]

    figure = new_figure(7.4, 4.5)
    axes = figure.subplots()
    dress(axes, quantity="Speed (tokens per second)", below="threads (--threads)")
    x_at(axes, [x for line in lines for x in line.xs])
    top = max(p.over(speed).high for line in lines for p in line.points)
    from_zero(axes, top, headroom=1.1)
    for line, mark in zip(lines, marks, strict=True):
        _line(axes, line, mark)
    label_ends(
        axes,
        [(_mids(line)[-1], _end_label(line), mark) for line, mark in zip(lines, marks, strict=True)],
        gap=0.2,
    )
    mark_guess(axes, guess)
    data = {"quotas": [_numbers(line, quota) for line, quota in zip(lines, quotas, strict=True)]}
    return finish(figure, alt=_alt(lines), data=data, caption=_caption(record, runs, lines))


def _threads(run: Run, *, record: Record) -> float:
    return float(record.servers[run.server].threads or 0)


def _quota(cpus: float | None, record: Record) -> str:
    if cpus is None:
        return f"no quota ({words.count(record.machine.cores, 'core')})"
    return f"{cpus:g} CPU" if cpus == 1 else f"{cpus:g} CPUs"


def _mids(line: Series) -> list[float]:
    return [p.over(speed).median for p in line.points]


def _best(line: Series) -> int:
    return int(np.nanargmax(_mids(line)))


def cliff(line: Series) -> float:
    """Best speed divided by the speed at the most threads; 1 when the most threads are the best."""
    mids = _mids(line)
    return mids[_best(line)] / mids[-1] if mids[-1] > 0 else float("inf")


def _cliff_words(line: Series) -> str:
    factor = cliff(line)
    return (
        "no answer"
        if np.isinf(factor)
        else f"{factor:.1f}× slower"
        if factor < 10
        else f"{factor:.0f}× slower"
    )


def _end_label(line: Series) -> str:
    at = _best(line)
    where = words.count(round(line.points[at].x), "thread")
    text = f"{line.name}\nbest {words.number(_mids(line)[at])} at {where}"
    return text if cliff(line) < NO_CLIFF else f"{text},\n{_cliff_words(line)} at {line.points[-1].x:g}"


def _line(axes: Axes, line: Series, mark: Mark) -> None:
    spans = [p.over(speed) for p in line.points]
    draw_points(
        axes,
        line.xs,
        spans,
        mark,
        mark.dash,
        hollow=[p.noisy for p in line.points],
        crossed=[p.client_limited for p in line.points],
    )
    at = _best(line)  # the best point is ringed
    axes.plot(
        line.xs[at],
        spans[at].median,
        marker="o",
        markersize=14,
        markerfacecolor="none",
        markeredgecolor=mark.ink,
        markeredgewidth=1.3,
        linestyle="",
        zorder=5,
        clip_on=False,
    )


def _numbers(line: Series, quota: float | None) -> dict[str, Any]:
    spans = [p.over(speed) for p in line.points]
    return {
        "cpus": quota,
        "threads": [round(x) for x in line.xs],
        "tokens_per_second": [s.median for s in spans],
        "range": [[s.low, s.high] for s in spans],
        "best_threads": round(line.points[_best(line)].x),
        "cliff": cliff(line),
        "noisy": [p.noisy for p in line.points],
    }


def _alt(lines: Sequence[Series]) -> str:
    out = ["Tokens per second against threads."]
    for line in lines:
        at, mids = _best(line), _mids(line)
        where = words.count(round(line.points[at].x), "thread")
        text = f"{line.name}: best {words.number(mids[at])} tokens/s at {where}"
        last = words.count(round(line.points[-1].x), "thread")
        if at == len(mids) - 1:
            text += ", the most measured"
        elif cliff(line) < NO_CLIFF:
            text += f", and {words.number(mids[-1])} at {last}"
        else:
            text += f", {_cliff_words(line)} at {last} ({words.number(mids[-1])})"
        out.append(text[0].upper() + text[1:] + ".")
    return " ".join(out)


def _caption(record: Record, runs: Sequence[Run], lines: Sequence[Series]) -> str:
    limiters = sorted({s.limiter for r in runs if (s := record.servers[r.server]).limiter})
    out = [
        words.spread_line(runs, [p.runs for line in lines for p in line.points], tails=False),
        "Ringed: the best of its line.",
    ]
    if limiters:
        out.append(f"CPU limited by {words.sentence_list(limiters)}.")
    throttled = [r for r in runs if r.throttle is not None and r.throttle.periods]
    if throttled:
        worst = max(throttled, key=lambda r: r.throttle.throttled / r.throttle.periods if r.throttle else 0)
        if worst.throttle and worst.throttle.throttled:
            share = 100 * worst.throttle.throttled / worst.throttle.periods
            out.append(f"Throttled in up to {share:.0f} % of periods ({_run_name(worst, record=record)}).")
    out.append(words.doubts(runs, partial(_run_name, record=record)))
    out.append(words.setting(record, [r.server for r in runs]))
    return " ".join(filter(None, out))


def _run_name(run: Run, *, record: Record) -> str:
    server = record.servers[run.server]
    return f"{words.count(server.threads or 0, 'thread')}, {_quota(server.cpus, record)}"
