"""Conversations, turn by turn: how much of each prompt the server still knew, and what that did to the first token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..records import stats
from ..records.schema import Record, Run
from . import words
from .picture import Picture
from .points import Metric, Point, chosen, server_names
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


def sessions(record: Record, slo: stats.SLO | None = None, *, guess: Any = None) -> Picture:
    """The share of prompt tokens found in the cache (above) and the time to first token, p50 (below), by turn.

    One line a server or label; medians over repeats with bars from the lowest to the highest. With `slo`, each line says what
    share of its requests kept it.

    :param guess: the percentage of cached tokens that the reader predicted; marked.
    :raises LabError: when the record holds no run of sessions.
    """
    runs = chosen(record, lambda run: run.plan.pattern == "sessions", what="runs of sessions")
    lines = _lines(record, runs)
    turns = list(range(max(run.plan.turns or 1 for run in runs)))
    marks = [series(place) for place in range(len(lines))]

    figure = new_figure(7.4, 5.6)
    upper, lower = figure.subplots(2, 1, sharex=True)
    dress(upper, quantity="Prompt tokens found in the cache (%)")
    dress(lower, quantity="Time to first token, p50 (seconds)", below="turn of the session")
    x_at(lower, [turn + 1 for turn in turns])
    lower.set_xlim(0.8, len(turns) + 0.2)
    for axes, metric in ((upper, _cached), (lower, _first)):
        ends: list[tuple[float, str, Mark]] = []
        top = 0.0
        for (name, own), mark in zip(lines.items(), marks, strict=True):
            points = [Point(turn + 1, tuple(own)) for turn in turns]
            spans = [point.over(metric(turn)) for turn, point in enumerate(points)]
            draw_points(
                axes,
                [point.x for point in points],
                spans,
                mark,
                mark.dash,
                hollow=[point.noisy for point in points],
                crossed=[point.client_limited for point in points],
            )
            top = max([top, *(span.high for span in spans if np.isfinite(span.high))])
            ends.append((spans[-1].median, _label(name, own, slo) if axes is upper else name, mark))
        from_zero(axes, 100.0 if axes is upper else top, headroom=1.08)
        label_ends(axes, ends, gap=0.2 if slo is not None and axes is upper else 0.085)
    mark_guess(upper, guess, along="y")
    data = {"lines": [_numbers(name, own, turns, slo) for name, own in lines.items()]}
    return finish(
        figure,
        alt=_alt(data["lines"], slo),
        caption=_caption(record, runs, list(lines.values()), slo),
        data=data,
    )


def _lines(record: Record, runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs by name (their label, or their server's, and the users where these differ), in the order in which they were first made."""
    servers = server_names(record, sorted({run.server for run in runs}))
    several = len({run.plan.concurrency for run in runs}) > 1
    lines: dict[str, list[Run]] = {}
    for run in runs:
        users = words.count(run.plan.concurrency or 1, "user") if several else ""
        name = ", ".join(filter(None, (run.label or servers[run.server], users)))
        lines.setdefault(name, []).append(run)
    return lines


def _cached(turn: int) -> Metric:
    def metric(run: Run) -> float:
        share = stats.cached_share(run, turn)
        return float("nan") if share is None else 100 * share

    return metric


def _first(turn: int) -> Metric:
    def metric(run: Run) -> float:
        times = [stats.ttft_of(sample, "scheduled") for sample in stats.good(run) if sample.turn == turn]
        value = stats.percentile([time for time in times if time is not None], 50)
        return float("nan") if value is None else value

    return metric


def _share(runs: Sequence[Run], slo: stats.SLO) -> float:
    """Share of all requests of these runs that kept the SLO (0..1)."""
    kept = [stats.goodput(run, slo) for run in runs]
    return sum(part.requests for part in kept) / sum(part.of for part in kept)


def _label(name: str, runs: Sequence[Run], slo: stats.SLO | None) -> str:
    return name if slo is None else f"{name}\n{_share(runs, slo):.0%} kept the SLO".lstrip()


def _numbers(name: str, runs: Sequence[Run], turns: Sequence[int], slo: stats.SLO | None) -> dict[str, Any]:
    def medians(metric: Callable[[int], Metric]) -> list[float | None]:
        found = [Point(turn + 1, tuple(runs)).over(metric(turn)).median for turn in turns]
        return [value if np.isfinite(value) else None for value in found]

    shares = [share for share in map(stats.cached_share, runs) if share is not None]
    return {
        "name": name,
        "turns": [turn + 1 for turn in turns],
        "cached_percent": medians(_cached),
        "ttft_p50": medians(_first),
        "cached_share": stats.Spread.of(shares).median if shares else None,
        "slo_share": None if slo is None else _share(runs, slo),
    }


def _alt(lines: Sequence[dict[str, Any]], slo: stats.SLO | None) -> str:
    out = ["Sessions, turn by turn."]
    for line in lines:
        cached, first = line["cached_percent"], line["ttft_p50"]
        text = (
            f"{line['name'] or 'all sessions'}: {_percent(cached[0])} of the first turn's prompt tokens were in the cache, "
            f"{_percent(cached[-1])} of the last one's; the first token took {_seconds(first[0])} in the first turn and "
            f"{_seconds(first[-1])} in the last"
        )
        if slo is not None:
            text += f"; {line['slo_share']:.0%} of the requests kept the SLO"
        out.append(text[0].upper() + text[1:] + ".")
    return " ".join(out)


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{value:.0f} %"


def _seconds(value: float | None) -> str:
    return "an unknown time" if value is None else words.seconds(value)


def _caption(
    record: Record, runs: Sequence[Run], groups: Sequence[Sequence[Run]], slo: stats.SLO | None
) -> str:
    plan = runs[0].plan
    many = words.span([run.plan.requests // (run.plan.turns or 1) for run in runs])
    held = words.span([run.plan.concurrency or 1 for run in runs])
    each, users = words.count(plan.turns or 1, "request"), f"{held} user{'' if held == '1' else 's'}"
    repeats = max(len(group) for group in groups)
    out = [
        f"{many} sessions of {each} a run, {users} at once; each turn adds about {plan.prompt_tokens} words and a reply of up to "
        f"{plan.max_tokens} tokens to what was said; {plan.think:g} s of thought between turns (mean)."
    ]
    if plan.system_tokens:
        out.append(f"All sessions share a system prompt of about {plan.system_tokens} words.")
    if repeats > 1:
        out.append(f"Medians of {repeats} repeats; bars: lowest to highest.")
    out.append("Time counts from the moment a turn was due.")
    if slo is not None:
        out.append(f"SLO: {slo}.")
    out.append(words.doubts(runs, lambda run: run.label or "sessions"))
    out.append(words.setting(record, sorted({run.server for run in runs})))
    return " ".join(filter(None, out))
