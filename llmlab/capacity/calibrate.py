"""The speeds of one server, out of records of load on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..errors import LabError
from ..load.arrivals import closed
from ..records import stats
from ..records.schema import Plan, Record, Run
from ..records.stats import Spread
from .speeds import Speeds

Floats = NDArray[np.float64]

GAPS = 20  # decode steps with so many slots generating, below which their time counts as not measured
APART = 3.0  # times as long: the longest of prompts, or contexts, from which a slope is told
AGREE = 1.5  # times as much: rounds that differ more say nothing


class Calibrated(Struct, frozen=True, kw_only=True):
    """The speeds of a server, what each round of the measurement said of them, and what had to be supposed."""

    speeds: Speeds  # over all rounds
    rounds: tuple[Speeds, ...]  # of each round alone
    remarks: tuple[str, ...] = ()

    @property
    def spread(self) -> dict[str, Spread]:
        """Median and range of the rounds, for each speed; `step[b]` with b slots generating."""
        found = {
            name: [getattr(it, name) for it in self.rounds]
            for name in ("prefill", "square", "attend", "overhead")
        }
        found |= {f"step[{b + 1}]": [it.step[b] for it in self.rounds] for b in range(len(self.speeds.step))}
        return {name: Spread.of(values) for name, values in found.items()}


def calibration(slots: int, *, longest: int = 1024, seed: int = 0) -> list[Plan]:
    """The load to calibrate from: `measure(target, calibration(4), repeats=3)`, well under a minute a round for the small models.

    Prompts of five lengths up to `longest`, one after another, give prefill; then each number of slots generates, after short prompts
    and, with the first and the last number, after long ones, which tells what context costs. More than four slots: powers of two and
    the last, the others are interpolated.

    :param slots: of the server.
    :param longest: the longest prompt that the simulated load will have, tokens.
    :raises LabError: for no slot, or a `longest` from which no slope can be told.
    """
    if slots < 1 or longest < 64:
        raise LabError(f"A calibration needs a slot and prompts up to 64 tokens, not {slots} and {longest}.")
    lengths = [max(8, longest // 64), longest // 8, longest // 4, longest // 2, longest] * 2
    plans = [closed(1, each_prompt=lengths, max_tokens=1, requests=len(lengths), warmup=1, seed=seed)]
    counts = sorted({b for b in range(1, slots + 1) if slots <= 4 or b & (b - 1) == 0} | {slots})
    plans += [
        closed(b, requests=2 * b, prompt_tokens=16, max_tokens=64, warmup=0, seed=seed + b) for b in counts
    ]
    long = longest // 2
    plans += [
        closed(b, requests=2 * b, prompt_tokens=long, max_tokens=32, warmup=0, seed=seed + slots + b)
        for b in sorted({1, slots})
    ]
    return plans


def calibrate(records: Sequence[Record], *, accept_noise: bool = False) -> Calibrated:
    """The speeds of the server that these records measured, alone and without a door before several.

    Prefill, over requests that were alone: TTFT = overhead + prompt/prefill + square · prompt² (least squares, each request weighted by
    1/TTFT, so that a short prompt counts like a long one); TTFT counts from when the request was due. Decode, over the gaps between
    chunks during which no prompt was waited for: gap = step[b] + attend · (context of the b replies that were generating) (least
    squares: a reply takes the sum of its gaps, so the mean is what counts). For this a chunk has to be a token.

    A slope that the records cannot tell (one length of prompts; contexts that are all alike) is 0, and a number of slots that
    was not measured is interpolated: `remarks` says so.

    :param accept_noise: also use runs during which others took much of the machine, and rounds that disagree; `remarks` says so.
    :raises LabError: when the records are of several servers or models, too noisy, do not fill the slots, or disagree.
    """
    slots = _one_server(records)
    runs = [run for record in records for run in record.runs]
    quiet = [run for run in runs if accept_noise or not run.noise.noisy]
    if not quiet:
        reason = next((run.noise.reason for run in runs if run.noise.noisy), "there is no run")
        raise LabError(
            f"These records are too noisy to calibrate from: {reason}.",
            fix="measure again when the machine is quiet",
        )
    remarks: list[str] = []
    if len(quiet) < len(runs):
        remarks.append(f"{len(runs) - len(quiet)} of {len(runs)} runs were noisy and are left out.")
    speeds = _fitted(quiet, slots, remarks)
    rounds = []
    for _, those in groupby(sorted(quiet, key=lambda run: run.repeat), key=lambda run: run.repeat):
        try:
            rounds.append(_fitted(list(those), slots, []))
        except LabError:
            continue  # a round of which too much is left out; what is left of it counts in the whole
    found = Calibrated(speeds=speeds, rounds=tuple(rounds) or (speeds,), remarks=tuple(remarks))
    for name in ("prefill", f"step[{slots}]"):
        spread = found.spread[name]
        if spread.high > AGREE * spread.low:
            words = f"The rounds disagree on {name}: {spread}."
            if not accept_noise:
                raise LabError(words, fix="measure again when the machine is quiet")
            remarks.append(words)
    if accept_noise and any(run.noise.noisy for run in runs):
        remarks.append("Other programs took much of the machine meanwhile: measure again when it is quiet.")
    return msgspec.structs.replace(found, remarks=tuple(remarks))


def _one_server(records: Sequence[Record]) -> int:
    """How many slots it has."""
    servers = [server for record in records for server in record.servers]
    if not servers:
        raise LabError(
            "There is no record to calibrate from.", fix="measure(target, calibration(slots), repeats=3)"
        )
    for what, values in (
        ("models", {f"{it.model} ({it.model_sha256[:8]})" for it in servers}),
        ("numbers of slots", {str(it.slots) for it in servers}),
        ("numbers of threads", {str(it.threads) for it in servers}),
        ("engines", {it.engine_version for it in servers}),
        ("devices", {it.device.name or it.device.used for it in servers}),
        ("machines", {record.machine.line for record in records}),
    ):
        if len(values) > 1:
            raise LabError(
                f"These records are of different {what}: {', '.join(sorted(values))}.",
                fix="take those of one server",
            )
    return servers[0].slots


def _fitted(runs: Sequence[Run], slots: int, remarks: list[str]) -> Speeds:
    overhead, prefill, square = _prefill(runs, remarks)
    step, attend = _decode(runs, slots, remarks)
    return Speeds(prefill=prefill, step=step, overhead=overhead, attend=attend, square=square)


def _prefill(runs: Sequence[Run], remarks: list[str]) -> tuple[float, float, float]:
    """Seconds of overhead, tokens per second, and seconds for a squared token."""
    alone = list(_alone(runs))
    if not alone:
        raise LabError(
            "No request was alone on the server: nothing says what a prompt takes.", fix="closed(1)"
        )
    prompt, ttft, own = np.array(alone).T
    if prompt.max() < APART * prompt.min():
        remarks.append(
            f"Prompts of about {np.median(prompt):.0f} tokens only: prefill is supposed to be linear (square = 0)."
        )
        overhead = max(0.0, float(np.median(ttft - own)))
        return overhead, float(np.sum(prompt) / np.sum(ttft - overhead)), 0.0
    columns = np.stack([np.ones_like(prompt), prompt, prompt**2], axis=1)
    overhead, each, square = _not_negative(columns, ttft, 1 / ttft)
    if each <= 0:
        raise LabError(
            "Long prompts were not slower than short ones: this says nothing of prefill.", fix="measure again"
        )
    return overhead, 1 / each, square


def _alone(runs: Sequence[Run]) -> Iterator[tuple[float, float, float]]:
    """Prompt tokens, TTFT and the server's own prefill time of requests that nobody was served beside."""
    for run in runs:
        spans = np.array([(s.sent, s.end or run.wall) for s in run.samples]).reshape(-1, 2)
        for sample in stats.good(run):
            ttft = stats.ttft_of(sample, "scheduled")
            beside = (spans[:, 0] < (sample.first or 0)) & (spans[:, 1] > sample.sent)
            if ttft and sample.prompt_ms and beside.sum() == 1 and not sample.cached_tokens:
                yield sample.prompt_tokens, ttft, sample.prompt_ms / 1000


def _decode(runs: Sequence[Run], slots: int, remarks: list[str]) -> tuple[tuple[float, ...], float]:
    """Seconds of a step for each number of slots, and seconds for a token of context."""
    gaps, busy, context = (np.concatenate(each) for each in zip(*map(_steps, runs), strict=True))
    measured = [b for b in range(1, slots + 1) if (busy == b).sum() >= GAPS]
    if not measured:
        raise LabError(
            "No reply in these records is long enough to tell what a decode step takes.", fix="max_tokens=64"
        )
    if measured[-1] < slots:
        raise LabError(
            f"At most {measured[-1]} of {slots} slots generated at once: nothing says what more of them take.",
            fix=f"closed({slots})",
        )
    used = np.isin(busy, measured)
    gaps, busy, context = gaps[used], busy[used], context[used]
    share = context / busy
    columns = (busy[:, None] == np.array(measured)).astype(np.float64)
    attend = 0.0
    if np.percentile(share, 95) < APART * np.percentile(share, 5):
        remarks.append(
            f"Contexts of about {np.median(share):.0f} tokens only: what more of it costs is not known (attend = 0)."
        )
        steps = _not_negative(columns, gaps)
    else:
        *steps, attend = _not_negative(np.column_stack([columns, context]), gaps)
    if missing := sorted(set(range(1, slots + 1)) - set(measured)):
        remarks.append(f"Interpolated: the step with {', '.join(map(str, missing))} slots generating.")
    step = np.maximum(np.interp(np.arange(1, slots + 1), measured, steps), 1e-9)
    return tuple(step.tolist()), attend


def _steps(run: Run) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Of decode steps without prefill: seconds, how many slots generated, and the tokens of context in these."""
    replies = [s for s in stats.good(run) if s.chunks]
    if not replies:
        return np.empty(0), np.empty(0, np.int64), np.empty(0)
    sent, first, last, prompt = np.array(
        [(s.sent, s.chunks[0], s.chunks[-1], s.prompt_tokens) for s in replies]
    ).T
    gone = [s.sent for s in run.samples if not s.ok]  # nobody knows what the server did for these
    found: list[tuple[Floats, NDArray[np.int64], Floats]] = []
    for sample in replies:
        if len(sample.chunks) != sample.completion_tokens or len(sample.chunks) < 2:
            continue
        times = np.array(sample.chunks)
        middle = ((times[1:] + times[:-1]) / 2)[:, None]
        active = (first < middle) & (middle < last)
        waited = ((sent < middle) & (middle < first)).any(axis=1) | (middle > min(gone, default=np.inf))[:, 0]
        written = np.array([np.searchsorted(other.chunks, middle[:, 0]) for other in replies]).T
        context = ((prompt + written) * active).sum(axis=1)
        found.append((np.diff(times)[~waited], active.sum(axis=1)[~waited], context[~waited]))
    if not found:
        return np.empty(0), np.empty(0, np.int64), np.empty(0)
    gaps, busy, context = (np.concatenate(each) for each in zip(*found, strict=True))
    return gaps, busy, context


def _not_negative(columns: Floats, values: Floats, weights: Floats | None = None) -> list[float]:
    """Least squares without negative coefficients: columns whose coefficient would be are left out, the worst first."""
    weight = np.ones(len(values)) if weights is None else weights
    kept = list(range(columns.shape[1]))
    found = np.zeros(columns.shape[1])
    while kept:
        fit = np.linalg.lstsq(columns[:, kept] * weight[:, None], values * weight, rcond=None)[0]
        if fit.min() >= 0:
            found[kept] = fit
            break
        kept.pop(int(np.argmin(fit * np.linalg.norm(columns[:, kept], axis=0))))
    coefficients: list[float] = found.tolist()
    return coefficients
