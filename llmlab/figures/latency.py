"""How latencies are spread: the share of requests answered within a time, one line per run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ..records.schema import Record, Run
from ..records.stats import SLO, Array, percentile
from . import words
from .picture import Picture
from .points import chosen, end_to_end, first_token, server_names
from .style import INK, SLO_LIMIT, Mark, dress, finish, mark_guess, new_figure, series, spread

PANELS: tuple[tuple[str, str, Callable[[Run], Array]], ...] = (
    ("ttft", "Time to first token", first_token),
    ("e2e", "End-to-end", end_to_end),
)


HALO = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}


def latency_cdf(record: Record, slo: SLO | None = None, *, guess: float | None = None) -> Picture:
    """Share of requests answered within a time: to first token (left), end-to-end (right); one line per run.

    Time counts from when a request was due. A failed request never arrives, so a run with failures ends below
    100 %. Repeats of one plan share colour and name. `slo` limits are drawn as vertical lines, and so is `guess`, the seconds
    to the first token that the reader named beforehand.

    :raises LabError: when the record holds no run with samples.
    """
    runs = chosen(record)
    names = _names(record, runs)
    order = list(dict.fromkeys(names))
    marks = {name: series(i) for i, name in enumerate(order)}
    figure = new_figure(7.6, 4.1)
    panels = figure.subplots(1, 2, sharey=True)
    limits = {"ttft": slo.ttft_ms, "e2e": slo.e2e_ms} if slo is not None else {}
    for axes, (key, title, times) in zip(panels, PANELS, strict=True):
        dress(axes, quantity=title, below="seconds")
        limit = limits.get(key)
        _scale(axes, [times(r) for r in runs], None if limit is None else limit / 1000)
        for run, name in zip(runs, names, strict=True):
            _line(axes, times(run), len(run.samples), marks[name], hollow=run.noise.noisy)
        _label(
            axes,
            {
                n: [(times(r), len(r.samples)) for r, m in zip(runs, names, strict=True) if m == n]
                for n in order
            },
            marks,
        )
        if limit is not None:
            axes.axvline(
                limit / 1000, color=SLO_LIMIT.colour, linestyle=SLO_LIMIT.dash, linewidth=1.3, zorder=1.5
            )
            tight = _fraction(axes, limit / 1000) > 0.6  # no room on the right
            axes.annotate(
                f"SLO {words.seconds(limit / 1000)}",
                (limit / 1000, 0),
                xytext=(-5 if tight else 5, 6),
                fontsize=9,
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                color=SLO_LIMIT.ink,
                ha="right" if tight else "left",
                bbox=HALO,
                zorder=6,
            )
    first = panels[0]
    mark_guess(first, guess)
    first.set_ylim(0, 1.03)
    first.yaxis.set_major_locator(FixedLocator([0, 0.25, 0.5, 0.75, 0.95, 1]))
    first.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:.0f} %"))
    first.set_ylabel("share of requests answered within", fontsize=9.5, color=INK)
    return finish(
        figure,
        alt=_alt(runs, names, limits),
        data=_numbers(runs, names),
        caption=_caption(record, runs, names),
    )


def _names(record: Record, runs: list[Run]) -> list[str]:
    """One name per run, the same for repeats: what was offered, and the server where there are several."""
    servers = server_names(record, sorted({r.server for r in runs}))
    loads = [_offered(r) for r in runs]
    return [
        ", ".join(
            filter(None, (servers[r.server], load if len(set(loads)) > 1 or not servers[r.server] else ""))
        )
        for r, load in zip(runs, loads, strict=True)
    ]


def _offered(run: Run) -> str:
    plan = run.plan
    if plan.pattern == "closed":
        return f"concurrency {plan.concurrency}"
    return (
        "trace"
        if plan.rate is None
        else f"{plan.rate:.3g} requests/s{' constant' if plan.pattern == 'constant' else ''}"
    )


def _scale(axes: Axes, all_times: list[Array], limit: float | None) -> None:
    """From 0 where the medians can be told apart so; a logarithmic axis where they differ 20-fold."""
    seen = np.concatenate(all_times)
    if not len(seen):
        axes.set_xlim(0, 1)
        return
    mids = [float(np.median(t)) for t in all_times if len(t)]
    high = max(float(seen.max()), limit or 0)
    if min(mids) > 0 and max(mids) / min(mids) > 20:
        axes.set_xscale("log")
        axes.set_xlim(float(seen.min()) / 1.3, high * 1.3)
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0), numticks=8))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlabel("seconds (logarithmic)", fontsize=10, color=INK, labelpad=5)
    else:
        axes.set_xlim(0, high * 1.06)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))


def _fraction(axes: Axes, x: float) -> float:
    """How far to the right of the panel `x` lies, 0 to 1."""
    return float(axes.transAxes.inverted().transform(axes.transData.transform((x, 0)))[0])


def _line(axes: Axes, times: Array, total: int, mark: Mark, *, hollow: bool) -> None:
    if not len(times):
        return
    xs = np.sort(times)
    ys = np.arange(1, len(xs) + 1) / total
    start = axes.get_xlim()[0]
    axes.step(
        [start, xs[0], *xs],
        [0, 0, *ys],
        where="post",
        color=mark.colour,
        linestyle=mark.dash,
        linewidth=1.7,
        zorder=3,
    )
    at = [int(np.ceil(q * len(xs))) - 1 for q in (0.5, 0.95)]
    axes.plot(
        xs[at],
        ys[at],
        linestyle="",
        marker=mark.marker,
        markersize=6,
        markeredgecolor=mark.colour,
        markeredgewidth=1.4,
        markerfacecolor="white" if hollow else mark.colour,
        zorder=4,
    )


def _label(axes: Axes, groups: dict[str, list[tuple[Array, int]]], marks: dict[str, Mark]) -> None:
    """A name on each line, at staggered heights so that names of close lines do not meet."""
    there = {n: [(np.sort(t), total) for t, total in g if len(t)] for n, g in groups.items()}
    order = sorted((n for n in there if there[n]), key=lambda n: float(np.median(there[n][0][0])))
    # The quickest line is named lowest, each later one higher: names step up to the right as the lines do.
    heights = spread([0.5] * len(order), min(0.11, 0.8 / max(len(order), 1)), low=0.1, high=0.9)
    for name, height in zip(order, sorted(heights), strict=True):
        times, total = there[name][-1]
        index = min(max(int(np.ceil(height * total)) - 1, 0), len(times) - 1)
        width = 0.55 * 9 * len(name) / 72 / 3.15  # about, as a share of a panel of 3.15 inches
        late = _fraction(axes, times[index]) + width + 0.04 > 1
        axes.annotate(
            name,
            (times[index], height),
            xytext=(-7 if late else 7, 0),
            textcoords="offset points",
            ha="right" if late else "left",
            va="center",
            fontsize=9,
            color=marks[name].ink,
            zorder=6,
            bbox=HALO,
        )


def _numbers(runs: list[Run], names: list[str]) -> dict[str, Any]:
    return {
        "runs": [
            {
                "name": name,
                "repeat": run.repeat,
                "requests": len(run.samples),
                "noisy": run.noise.noisy,
                **{f"{key}_s": sorted(float(t) for t in times(run)) for key, _, times in PANELS},
            }
            for run, name in zip(runs, names, strict=True)
        ]
    }


def _alt(runs: list[Run], names: list[str], limits: dict[str, float | None]) -> str:
    out = ["Share of requests answered within a time, to the first token and end-to-end."]
    for name in dict.fromkeys(names):
        own = [r for r, n in zip(runs, names, strict=True) if n == name]
        parts = []
        for key, _, times in PANELS:
            pooled = np.concatenate([times(r) for r in own])
            what = "first token" if key == "ttft" else "end-to-end"
            if not len(pooled):
                parts.append(f"{what} never")
                continue
            half, most = percentile(pooled, 50), percentile(pooled, 95)
            part = f"{what} half within {words.seconds(half or 0.0)}, "
            part += (
                f"all within {words.seconds(float(pooled.max()))}"
                if most is None
                else f"95 % within {words.seconds(most)}"
            )
            if (limit := limits.get(key)) is not None:
                met = float(np.sum(1000 * pooled <= limit)) / sum(len(r.samples) for r in own)
                part += f" ({100 * met:.0f} % within the SLO of {words.seconds(limit / 1000)})"
            parts.append(part)
        text = f"{name}: {'; '.join(parts)}."
        out.append(text[0].upper() + text[1:])
    return " ".join(out)


def _caption(record: Record, runs: list[Run], names: list[str]) -> str:
    repeats = max(names.count(n) for n in names)
    out = [
        f"{words.span([len(r.samples) for r in runs])} requests a line"
        + (f", {repeats} repeats share a colour" if repeats > 1 else "")
        + "; markers at 50 % and 95 %."
    ]
    if any(r.plan.pattern != "closed" for r in runs):
        out.append("Time counts from the moment a request was due.")
    by_run = {id(r): n for r, n in zip(runs, names, strict=True)}
    out.append(words.doubts(runs, lambda r: by_run[id(r)], crossed=False))
    out.append(words.setting(record, sorted({r.server for r in runs})))
    return " ".join(filter(None, out))
