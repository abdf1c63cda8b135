"""Throughput and latency against load: where a server stops getting faster and starts making people wait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from ..records import stats
from ..records.schema import Record, Run
from . import words
from .picture import Picture
from .points import Metric, Series, chosen, end_to_end, first_token, gather, quantile, server_names, speed
from .style import (
    END_TO_END,
    FIRST_TOKEN,
    GOODPUT,
    INK,
    QUIET,
    SHADE,
    SLO_LIMIT,
    SLOTS,
    THROUGHPUT,
    Dash,
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

FULL = 0.9  # throughput counts as "no longer growing" from the first load that reaches this share of the peak


@dataclass(frozen=True, slots=True)
class _Curve:
    """One line of a panel: whose points, which metric, its name and look."""

    line: Series
    metric: Metric
    name: str
    mark: Mark
    dash: Dash = "-"


def throughput(record: Record, slo: stats.SLO | None = None, *, guess: float | None = None) -> Picture:
    """Tokens per second (above) and latency percentiles (below) against concurrency, or against offered rate.

    Points are medians over repeats with bars from the lowest to the highest; the number of slots is a
    vertical line. With one server: end-to-end and first-token time, p50 and p95; with several: end-to-end
    p95 of each. With `slo`, its limits and (one server) the throughput of the requests that met it. With
    `guess`, a load that the reader named beforehand, marked.

    :raises LabError: when the record holds no run with samples.
    """
    closed = any(r.plan.pattern == "closed" for r in record.runs if r.samples)
    runs = chosen(record, lambda r: (r.plan.pattern == "closed") == closed)
    servers = sorted({r.server for r in runs})
    names = server_names(record, servers)
    lines = [Series(names[i], i, gather([r for r in runs if r.server == i], load_of)) for i in servers]
    tail = 95 if all(np.isfinite(quantile(end_to_end, 95)(r)) for r in runs) else 50
    above, below = _single(lines[0], slo) if len(lines) == 1 else _several(lines, tail)

    figure = new_figure(7.2, 6.0)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.05])
    dress(upper, quantity="Throughput (tokens per second)")
    dress(
        lower,
        quantity="Latency (seconds)" if len(lines) == 1 else f"End-to-end latency, p{tail} (seconds)",
        below="concurrency (streams kept open)" if closed else "offered load (requests per second)",
    )
    x_at(lower, [x for line in lines for x in line.xs])
    limits = _limits(slo) if len(lines) == 1 else {k: v for k, v in _limits(slo).items() if k == "end-to-end"}
    from_zero(upper, max(_draw(upper, c, crossed=True) for c in above))
    from_zero(lower, max([*(_draw(lower, c) for c in below), *limits.values()]))
    ideal = closed and len(lines) == 1 and _ideal(upper, lines[0])
    named = {
        panel: [(c.line.medians(c.metric)[-1], c.name, c.mark) for c in curves]
        for panel, curves in ((upper, above), (lower, below))
    }
    for name, limit in limits.items():
        lower.axhline(limit, color=SLO_LIMIT.colour, linestyle=SLO_LIMIT.dash, linewidth=1.3, zorder=1.5)
        named[lower].append((limit, f"{name} SLO", SLO_LIMIT))
    for panel, ends in named.items():
        label_ends(panel, ends)
    if closed:
        _slots(upper, lower, sorted({record.servers[i].slots for i in servers}))
    for panel in (upper, lower):
        mark_guess(panel, guess, name=panel is upper)

    out = [words.spread_line(runs, [p.runs for line in lines for p in line.points])]
    if ideal:
        out.append("Dotted: if every stream ran as fast as a single one.")
    if not closed:
        out.append("Latency counts from the moment a request was due.")
    if slo is not None:
        out.append(f"SLO: {slo}.")
    out += [words.doubts(runs, _run_name), words.setting(record, servers)]
    data = {
        "x": "concurrency" if closed else "rate",
        "servers": [_numbers(record, line, slo) for line in lines],
    }
    return finish(
        figure,
        alt=_alt(record, lines, closed=closed, slo=slo),
        caption=" ".join(filter(None, out)),
        data=data,
    )


def load_of(run: Run) -> float:
    """Concurrency of a closed loop; requests per second offered by an open one."""
    plan = run.plan
    if plan.pattern == "closed":
        return float(plan.concurrency or 1)
    if plan.rate is not None:
        return plan.rate
    offsets = plan.offsets or [s.scheduled for s in run.samples]
    return len(offsets) / max(offsets[-1] - offsets[0], 1e-9)


def _goodput(slo: stats.SLO) -> Metric:
    return lambda run: stats.goodput(run, slo).tokens_per_second


def _single(line: Series, slo: stats.SLO | None) -> tuple[list[_Curve], list[_Curve]]:
    """Curves of both panels for one server."""
    above = [_Curve(line, speed, "all requests" if slo else "", THROUGHPUT)]
    if slo is not None:
        above.append(_Curve(line, _goodput(slo), "within the SLO", GOODPUT, GOODPUT.dash))
    below = [
        _Curve(line, quantile(times, p), f"{what} p{p}", mark, "--" if p == 95 else "-")
        for what, times, mark in (
            ("end-to-end", end_to_end, END_TO_END),
            ("first token", first_token, FIRST_TOKEN),
        )
        for p in (50, 95)
    ]
    return above, below


def _several(lines: Sequence[Series], tail: int) -> tuple[list[_Curve], list[_Curve]]:
    """Curves of both panels for several servers."""
    return (
        [_Curve(line, speed, line.name, series(i), series(i).dash) for i, line in enumerate(lines)],
        [
            _Curve(line, quantile(end_to_end, tail), line.name, series(i), series(i).dash)
            for i, line in enumerate(lines)
        ],
    )


def _limits(slo: stats.SLO | None) -> dict[str, float]:
    """The limits that the latency panel can show, in seconds."""
    both = {"first token": slo.ttft_ms, "end-to-end": slo.e2e_ms} if slo is not None else {}
    return {name: ms / 1000 for name, ms in both.items() if ms is not None}


def _draw(axes: Axes, curve: _Curve, *, crossed: bool = False) -> float:
    """Draw one curve; the highest value seen."""
    points = curve.line.points
    spans = [p.over(curve.metric) for p in points]
    draw_points(
        axes,
        curve.line.xs,
        spans,
        curve.mark,
        curve.dash,
        hollow=[p.noisy for p in points],
        crossed=[crossed and p.client_limited for p in points],
    )
    return max((s.high for s in spans if np.isfinite(s.high)), default=0.0)


def _ideal(axes: Axes, line: Series) -> bool:
    """Perfect scaling from the first point, streams x tokens/s of one stream; whether it was drawn."""
    first, last = line.points[0], line.points[-1]
    one = first.over(speed).median / first.x
    if one <= 0 or last.x == first.x:
        return False
    end = min(last.x, 0.98 * axes.get_ylim()[1] / one)
    xs = np.linspace(first.x, end, 50)
    axes.plot(xs, one * xs, color=QUIET, linestyle=(0, (1, 2)), linewidth=1.3, zorder=2)
    return True


def _slots(upper: Axes, lower: Axes, slots: Sequence[int]) -> None:
    """A vertical line at each server's number of slots; with one server, beyond it is shaded."""
    left, right = lower.get_xlim()
    for n in slots:
        if not left <= n <= right:
            continue
        for panel in (upper, lower):
            panel.axvline(n, color=SLOTS.colour, linestyle=SLOTS.dash, linewidth=1.2, zorder=1.4)
            if len(slots) == 1:
                panel.axvspan(n, right, color=SHADE, zorder=0, linewidth=0)
        tight = n > left + 0.85 * (right - left)  # no room on the right of the line
        upper.annotate(
            words.count(n, "slot"),
            (n, 0),
            xycoords=("data", "axes fraction"),
            fontsize=9.5,
            color=INK,
            xytext=(-5 if tight else 5, 6),
            textcoords="offset points",
            ha="right" if tight else "left",
            zorder=6,
        )


def _numbers(record: Record, line: Series, slo: stats.SLO | None) -> dict[str, Any]:
    """The drawn numbers of one server, as plain lists."""
    metrics: dict[str, Metric] = {"tokens_per_second": speed}
    for name, times in (("ttft", first_token), ("e2e", end_to_end)):
        metrics |= {f"{name}_p{q}_s": quantile(times, q) for q in (50, 95)}
    if slo is not None:
        metrics["goodput_tokens_per_second"] = _goodput(slo)
    out: dict[str, Any] = {"name": line.name, "slots": record.servers[line.server].slots, "x": line.xs}
    out["noisy"] = [p.noisy for p in line.points]
    out["client_limited"] = [p.client_limited for p in line.points]
    for name, metric in metrics.items():
        spans = [p.over(metric) for p in line.points]
        out[name] = [s.median if s.n else None for s in spans]
        out[f"{name}_range"] = [[s.low, s.high] if s.n else None for s in spans]
    return out


def _alt(record: Record, lines: Sequence[Series], *, closed: bool, slo: stats.SLO | None) -> str:
    def at(x: float) -> str:
        return f"concurrency {x:g}" if closed else f"{x:.3g} requests/s"

    out = []
    for line in lines:
        first, last, speeds = line.points[0], line.points[-1], line.medians(speed)
        text = f"{line.name}: " if line.name else ""
        text += f"throughput is {words.number(speeds[0])} tokens/s at {at(first.x)}"
        if len(speeds) > 1:
            knee = next(i for i, v in enumerate(speeds) if v >= FULL * max(speeds))
            text += f" and {words.number(speeds[-1])} at {at(last.x)}; "
            text += (
                "it is still growing at the highest load measured"
                if knee == len(speeds) - 1
                else f"it stops growing at {at(line.points[knee].x)}, with {words.number(speeds[knee])}, "
                f"{100 * speeds[knee] / max(speeds):.0f} % of the peak"
            )
        if closed:
            text += f". The server has {words.count(record.servers[line.server].slots, 'slot')}"
        q = 95 if all(np.isfinite(p.over(quantile(first_token, 95)).median) for p in (first, last)) else 50
        waits = [words.seconds(p.over(quantile(first_token, q)).median) for p in (first, last)]
        text += f". {q} % of requests get their first token within {waits[0]} at {at(first.x)}"
        text += f" and within {waits[1]} at {at(last.x)}." if len(speeds) > 1 else "."
        if slo is not None:
            goods = line.medians(_goodput(slo))
            best = int(np.argmax(goods))
            text += f" Within the SLO ({slo}) it delivers most at {at(line.points[best].x)}: "
            text += f"{words.number(goods[best])} tokens/s."
        out.append(text[0].upper() + text[1:])
    return " ".join(out)


def _run_name(run: Run) -> str:
    return (
        f"concurrency {run.plan.concurrency}"
        if run.plan.pattern == "closed"
        else f"{load_of(run):.3g} requests/s"
    )
