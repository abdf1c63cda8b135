"""One run as it happened: each request's waiting and decoding, and how many were in flight."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..errors import LabError
from ..records.schema import Record, Sample
from . import words
from .picture import Picture
from .style import DECODING, FAILED, FIRST_TOKEN, INK, RULE, SLOTS, dress, finish, new_figure

MOST = 120  # rows that can still be told apart
BARS = 40  # up to here each request is a bar of its own, with a gap to the next


def timeline(record: Record, run: int = 0) -> Picture:
    """Request bars of run number `run` (above); how many wait and decode at each moment (below).

    A bar's hatched part is the wait for the first token, its plain part decoding; a cross is a failure.
    The number of slots is a horizontal line. Of more than 120 requests the first 120 are drawn as bars.

    :raises LabError: when there is no such run or it has no samples.
    """
    if not -len(record.runs) <= run < len(record.runs) or not record.runs[run].samples:
        raise LabError(
            f"This record has no run {run} with requests in it.",
            where=f"record of {record.created}, {len(record.runs)} runs",
            fix=f"choose a run from 0 to {len(record.runs) - 1}" if record.runs else "measure first",
        )
    chosen = record.runs[run]
    server = record.servers[chosen.server]
    samples = sorted(chosen.samples, key=lambda s: (s.scheduled, s.n))
    start = min(s.scheduled for s in samples)
    end = max(_over(s) for s in samples)
    shown = samples[:MOST]

    figure = new_figure(7.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.1, 1])
    dress(upper, quantity="Requests, in the order they were due")
    dress(lower, quantity="Requests in flight", below="seconds since the start of the run")
    _bars(upper, shown)
    times, waiting, decoding = in_flight(samples)
    _areas(lower, times, waiting, decoding, server.slots)
    lower.set_xlim(min(0.0, start), end * 1.01)
    upper.legend(
        handles=[
            Patch(
                facecolor=FIRST_TOKEN.colour,
                edgecolor="white",
                hatch=FIRST_TOKEN.hatch,
                label="waiting for the first token",
            ),
            Patch(facecolor=DECODING.colour, label="decoding"),
        ],
        loc="lower right",
        bbox_to_anchor=(1, 1.0),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        borderaxespad=0.2,
        handlelength=1.8,
        columnspacing=1.4,
    )

    ok = [s for s in samples if s.ok and s.first is not None]
    waits = [s.first - s.scheduled for s in ok if s.first is not None]
    decodes = [s.end - s.first for s in ok if s.first is not None and s.end is not None]
    data: dict[str, Any] = {
        "requests": [
            {"n": s.n, "due": s.scheduled, "first": s.first, "end": s.end, "error": s.error} for s in samples
        ],
        "seconds": times,
        "waiting": waiting,
        "decoding": decoding,
        "slots": server.slots,
    }
    failed = len(samples) - sum(s.ok for s in samples)
    most = [w + d for w, d in zip(waiting, decoding, strict=True)]
    alt = (
        f"{words.count(len(samples), 'request')} in {words.seconds(end - start)}, "
        f"at most {max(most)} in flight at once "
        f"on {words.count(server.slots, 'slot')}; at most {max(decoding)} decode at once. "
    )
    if ok:
        share = sum(waits) / max(sum(waits) + sum(decodes), 1e-12)
        alt += (
            f"Half of the requests wait {words.seconds(float(np.median(waits)))} or more for the first "
            f"token, then decode for {words.seconds(float(np.median(decodes)))}; "
            f"waiting is {100 * share:.0f} % of all request time."
        )
    if failed:
        alt += f" {words.count(failed, 'request')} failed."
    return finish(figure, alt=alt.strip(), data=data, caption=_caption(record, run, len(shown)))


def _over(sample: Sample) -> float:
    """When a request was over: its end, or the last thing known of it."""
    known = (sample.end, sample.last, sample.first, sample.sent)
    return next(t for t in known if t is not None)


def in_flight(samples: list[Sample]) -> tuple[list[float], list[int], list[int]]:
    """Steps of the number of requests waiting and decoding: (times, waiting, decoding), from each time on."""
    events: list[tuple[float, int, int]] = []
    for s in samples:
        events.append((s.scheduled, 1, 0))
        if s.first is not None:
            events += [(s.first, -1, 1), (_over(s), 0, -1)]
        else:
            events.append((_over(s), -1, 0))
    times: list[float] = []
    waiting: list[int] = []
    decoding: list[int] = []
    w = d = 0
    for at, dw, dd in sorted(events):
        w, d = w + dw, d + dd
        if times and times[-1] == at:  # what happens in one moment is one step: a slot passed on counts once
            waiting[-1], decoding[-1] = w, d
        else:
            times.append(at)
            waiting.append(w)
            decoding.append(d)
    return times, waiting, decoding


def _bars(axes: Axes, samples: list[Sample]) -> None:
    rows = [row + 1 for row in range(len(samples))]
    due = [s.scheduled for s in samples]
    over = [_over(s) for s in samples]
    first = [s.first if s.first is not None else o for s, o in zip(samples, over, strict=True)]
    hatched: dict[str, Any] = {
        "facecolor": FIRST_TOKEN.colour,
        "edgecolor": "white",
        "hatch": FIRST_TOKEN.hatch,
        "linewidth": 0,
    }
    if len(samples) <= BARS:
        waits = [f - d for f, d in zip(first, due, strict=True)]
        axes.barh(rows, waits, left=due, height=0.82, zorder=3, **hatched)
        axes.barh(
            rows,
            [o - f for o, f in zip(over, first, strict=True)],
            left=first,
            height=0.82,
            color=DECODING.colour,
            linewidth=0,
            zorder=3,
        )
    else:  # one area over all rows keeps the hatch readable where bars would be a few pixels thin
        edges = [r + side for r in rows for side in (-0.5, 0.5)]
        twice = [np.repeat(values, 2) for values in (due, first, over)]
        axes.fill_betweenx(edges, twice[0], twice[1], zorder=3, **hatched)
        axes.fill_betweenx(edges, twice[1], twice[2], color=DECODING.colour, linewidth=0, zorder=3)
    for row, s, end in zip(rows, samples, over, strict=True):
        if not s.ok:
            axes.plot(
                end,
                row,
                marker=FAILED.marker,
                color=FAILED.ink,
                markersize=7,
                markeredgewidth=2,
                zorder=5,
                clip_on=False,
            )
    axes.set_ylim(len(samples) + 0.6, 0.4)
    axes.grid(False)
    axes.grid(True, axis="x", color=RULE, linewidth=0.8)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=0)
    axes.spines["bottom"].set_visible(False)


def _areas(axes: Axes, times: list[float], waiting: list[int], decoding: list[int], slots: int) -> None:
    # A stream is idle for a fraction of a millisecond between two requests: thinner than a pixel, but drawn
    # as a white slit. Such moments are left out of the picture (not of the numbers).
    shortest = (times[-1] - times[0]) / 600
    keep = [i for i in range(len(times)) if i + 1 == len(times) or times[i + 1] - times[i] >= shortest]
    at, low = [times[i] for i in keep], [decoding[i] for i in keep]
    high = [waiting[i] + decoding[i] for i in keep]
    axes.fill_between(at, low, step="post", color=DECODING.colour, linewidth=0, zorder=2)
    axes.fill_between(
        at,
        low,
        high,
        step="post",
        facecolor=FIRST_TOKEN.colour,
        edgecolor="white",
        hatch=FIRST_TOKEN.hatch,
        linewidth=0,
        zorder=2,
    )
    axes.axhline(slots, color=SLOTS.colour, linestyle=SLOTS.dash, linewidth=1.4, zorder=4)
    top = max(*high, slots) * 1.12
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True, steps=[1, 2, 4, 5, 10]))
    axes.text(
        1.008,
        slots / top,
        words.count(slots, "slot"),
        transform=axes.transAxes,
        fontsize=9.5,
        color=INK,
        va="center",
    )


def _caption(record: Record, run: int, shown: int) -> str:
    chosen = record.runs[run]
    plan = chosen.plan
    load = {
        "closed": f"Closed loop, {words.count(plan.concurrency or 1, 'stream')}",
        "trace": "Open loop, arrivals from a trace",
    }.get(plan.pattern, f"Open loop, {plan.pattern} arrivals, {plan.rate or 0:.3g} requests/s")
    out = [f"{load}; {words.count(len(chosen.samples), 'request')}, {words.lengths([plan])}."]
    if shown < len(chosen.samples):
        out.append(f"Bars: the first {shown}.")
    if chosen.noise.noisy:
        out.append(f"Noisy run: {words.why_noisy([chosen])}.")
    if chosen.noise.client_limited:
        out.append("The client, not the server, may have been the limit.")
    out.append(words.setting(record, [chosen.server]))
    return " ".join(out)
