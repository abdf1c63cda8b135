"""A day of requests: when each arrives, and how long its prompt and its reply are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LabError
from ..load import arrivals
from ..records.schema import Plan
from .speeds import Speeds

Column = np.ndarray[Any, Any]
Floats = NDArray[np.float64]

DAY = 86_400.0  # seconds
TROUGH, PEAK = 3.0, 15.0  # o'clock
BURSTS, BURST_HOURS = 12, 1 / 30
VIRAL_FROM, VIRAL_TO = 10, 21  # o'clock, within which the viral hour lies
NIGHT = (1.0, 5.0)  # o'clock, of the batch jobs
BATCH = 0.08  # of all requests that a day without bursts has


@dataclass(frozen=True, eq=False)
class Trace:
    """Requests in the order of their arrival; all arrays have one entry a request."""

    arrival_s: Column  # float64, ascending, seconds
    prompt_tokens: Column  # int64
    output_tokens: Column  # int64
    prefix: Column | None = None  # int64: which shared beginning the prompt has, -1 none
    prefix_tokens: Column | None = None  # int64: how long that beginning is
    region: Column | None = None  # int64: where it comes from

    def __len__(self) -> int:
        return len(self.arrival_s)

    def only(self, chosen: Column) -> Trace:
        """The requests that `chosen` names, by a mask or by their places."""
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: each[chosen] for name, each in columns.items() if each is not None})


def day(seed: int, *, requests: int = 20_000, seconds: float = DAY) -> Trace:
    """A day of about `requests` requests, written from a seed.

    Arrivals are a Poisson process whose rate changes through the day, drawn by thinning: candidates at the highest rate, each kept
    with probability rate / highest (Lewis and Shedler, Naval Research Logistics Quarterly 26, 1979). The rate, in multiples of the
    day's mean without what is added to it:

    - diurnal: 1 - 0.65 cos(2π (h - 3) / 24): lowest at 3 o'clock (0.35), highest at 15 o'clock (1.65);
    - bursts: twelve, at any time: of a sudden 3 times as many, and back within minutes (exponentially, 2 minutes);
    - one viral hour, which begins at some time from 10 to 20 o'clock: 2.5 times as many;
    - batch jobs: from 1 to 5 o'clock, beside the users, 8 % of a day's requests.

    Users' prompts have 96 tokens in the median (log-normal, σ 0.8) and their replies 48 (σ 0.7): short questions, a few long ones.
    Batch jobs are summaries: prompts of 768 tokens in the median (σ 0.4) with replies of 16 (σ 0.4). Prompts end at 2,048 tokens and
    replies at 512. The shape is that of public traces (Azure's of 2024 and BurstGPT: by day a multiple of the night,
    bursts beyond Poisson's, right-skewed lengths); its numbers are chosen for small models and are no measurement.

    :param seconds: how long the day lasts; all of the above shrinks with it.
    :raises LabError: for no requests or no time.
    """
    if requests < 1 or seconds <= 0:
        raise LabError(
            f"A day of {requests} requests in {seconds:g} s is empty.", fix="day(seed=1, requests=20_000)"
        )
    draw = np.random.default_rng(seed)
    bursts = draw.uniform(0, 24, BURSTS)
    viral = draw.uniform(VIRAL_FROM, VIRAL_TO - 1)

    def users(hour: Floats) -> Floats:
        rate = 1 - 0.65 * np.cos(2 * np.pi * (hour - TROUGH) / 24)
        since = hour[:, None] - bursts
        rate = rate * (
            1 + 2 * np.where(since >= 0, np.exp(-np.maximum(since, 0) / BURST_HOURS), 0).sum(axis=1)
        )
        rate *= np.where((hour >= viral) & (hour < viral + 1), 2.5, 1.0)
        return np.asarray(rate)

    def batch(hour: Floats) -> Floats:
        return np.where((hour >= NIGHT[0]) & (hour < NIGHT[1]), BATCH * 24 / (NIGHT[1] - NIGHT[0]), 0.0)

    grid = np.linspace(0, 24, 24 * 360, endpoint=False)  # every ten seconds
    each_hour = requests / 24 / float((users(grid) + batch(grid)).mean())
    asked, jobs = (_thinned(draw, rate, each_hour, float(rate(grid).max()) * 1.05) for rate in (users, batch))
    hour = np.concatenate([asked, jobs])
    is_job = np.arange(len(hour)) >= len(asked)
    prompt = np.where(
        is_job, _lengths(draw, 768, 0.4, len(hour), 2048), _lengths(draw, 96, 0.8, len(hour), 2048)
    )
    output = np.where(
        is_job, _lengths(draw, 16, 0.4, len(hour), 512), _lengths(draw, 48, 0.7, len(hour), 512)
    )
    order = np.argsort(hour, kind="stable")
    return Trace(hour[order] / 24 * seconds, prompt[order], output[order])


def compressed(
    trace: Trace,
    seconds: float = 240.0,
    *,
    speeds: Speeds,
    servers: int = 1,
    load: float = 0.5,
    seed: int = 0,
) -> Trace:
    """The trace in `seconds`, thinned until `servers` servers of these speeds are `load` busy on average.

    Kept: each request's own lengths, the order of arrival, how the rate goes up and down through the day as a share of it, and so the
    ratio of the busiest hour to the mean; and, hour by hour, the mix of prompts and replies. Not kept: how many requests there
    are (each stays with one and the same probability, drawn from `seed`), and time itself: services take what they took,
    while the day around them is shorter. A viral hour that lasts ten seconds is over before a queue of it has built up to what
    a real one would; a burst of minutes becomes a clump; and what takes its own time (a server that starts, a health check, a time-out)
    takes hundreds of times as much of the day. So a compressed day compares a simulator with servers; it does not say what the day
    itself needs: simulate that one whole.

    :param load: mean share of the servers' time that the work takes (`work`), not a count of requests: the busiest hour asks for a
        multiple of it.
    :raises LabError: when the trace does not hold that much work.
    """
    if not len(trace):
        raise LabError("An empty trace cannot be compressed.")
    if seconds <= 0 or servers < 1 or load <= 0:
        raise LabError(f"seconds={seconds:g}, servers={servers} and load={load:g} must be above 0.")
    there = float(work(trace, speeds).sum())
    kept = load * servers * seconds / there
    if kept > 1:
        raise LabError(
            f"The trace holds {there:,.0f} s of work for a server; {load:.0%} of {servers} for {seconds:g} s are"
            f" {load * servers * seconds:,.0f} s.",
            fix=f"day(seed, requests={int(np.ceil(len(trace) * kept * 1.1)):_})",
        )
    chosen = trace.only(np.random.default_rng(seed).random(len(trace)) < kept)
    first, last = float(trace.arrival_s[0]), float(trace.arrival_s[-1])
    scale = seconds / (last - first) if last > first else 0.0
    return replace(chosen, arrival_s=(chosen.arrival_s - first) * scale)


def work(trace: Trace, speeds: Speeds) -> Floats:
    """Seconds of one server that each request takes when all slots are busy.

    overhead + prompt/prefill + square · prompt² + output · (step[slots]/slots + attend · (prompt + output/2)).

    The sum of it over a span, by the span and the number of servers, is the offered load (1: as much as they can do at best).
    """
    slots = len(speeds.step)
    found: Floats = (
        speeds.overhead
        + trace.prompt_tokens / speeds.prefill
        + speeds.square * trace.prompt_tokens.astype(float) ** 2
        + trace.output_tokens
        * (speeds.step[-1] / slots + speeds.attend * (trace.prompt_tokens + trace.output_tokens / 2))
    )
    return found


def plan(trace: Trace, **more: Any) -> Plan:
    """The load that sends it, open-loop: each request at its time with its own lengths. `more`: as in `llmlab.load.trace`."""
    return arrivals.trace(
        trace.arrival_s.tolist(),
        each_prompt=trace.prompt_tokens.tolist(),
        each_reply=trace.output_tokens.tolist(),
        **more,
    )


def _thinned(
    draw: np.random.Generator, rate: Callable[[Floats], Floats], each_hour: float, highest: float
) -> Floats:
    """Arrivals within 24 hours, at `rate` times `each_hour`."""
    candidates = np.sort(draw.uniform(0, 24, draw.poisson(highest * each_hour * 24)))
    kept: Floats = candidates[draw.uniform(0, highest, len(candidates)) < rate(candidates)]
    return kept


def _lengths(
    draw: np.random.Generator, median: float, sigma: float, count: int, most: int
) -> NDArray[np.int64]:
    """Tokens, log-normal, from 1 to `most`."""
    drawn = draw.lognormal(np.log(median), sigma, count)
    return np.clip(np.rint(drawn), 1, most).astype(np.int64)
