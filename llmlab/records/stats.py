"""What a run says: one small documented function per metric, its formula and source in the docstring.

Every function takes a `Run` or its samples and returns plain numbers or numpy arrays in seconds, tokens per
second or shares (0..1). A value that the run cannot give is None or left out, never zero. The definitions are
compared with those of seven other tools in `shared/facts/load-testing.md`, section 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .schema import Run, Sample

Array = NDArray[np.float64]
Since = Literal["sent", "scheduled"]


def good(run: Run) -> list[Sample]:
    """The samples that were answered in full: the only ones with latencies."""
    return [s for s in run.samples if s.ok]


def failed(run: Run) -> list[Sample]:
    """The samples that were not: each says why in `error`."""
    return [s for s in run.samples if not s.ok]


def start(sample: Sample, since: Since = "sent") -> float:
    """When the clock of a latency starts, in seconds from the start of the run.

    `sent`: the request left: what the server made of it. `scheduled`: it was due: what a user felt, including
    the time it waited in the client because the run was behind. Only the second is free of coordinated
    omission (Gil Tene, "How NOT to Measure Latency", 2015); MLPerf LoadGen uses it alone.
    """
    return sample.scheduled if since == "scheduled" else sample.sent


def ttft_of(sample: Sample, since: Since = "sent") -> float | None:
    """Time to first token, seconds: first non-empty content or reasoning, minus the start; None without.

    Not the first byte (headers leave when the prompt starts) and not the first event (the role chunk has no
    content).
    """
    return None if sample.first is None else sample.first - start(sample, since)


def tpot_of(sample: Sample) -> float | None:
    """Time per output token, seconds: (last - first) / (completion tokens - 1); None below two tokens.

    The first token belongs to TTFT, so n tokens have n - 1 gaps (vLLM and SGLang divide likewise). Tokens
    come from the server's usage, because a chunk may carry several tokens.
    """
    if sample.first is None or sample.last is None or sample.completion_tokens < 2:
        return None
    return (sample.last - sample.first) / (sample.completion_tokens - 1)


def e2e_of(sample: Sample, since: Since = "sent") -> float | None:
    """End-to-end latency, seconds: the reply is complete minus the start; None when it never was."""
    return None if sample.end is None else sample.end - start(sample, since)


def ttft(run: Run, since: Since = "sent") -> Array:
    """TTFT of every good sample, in seconds; see `ttft_of`."""
    return _array(ttft_of(s, since) for s in good(run))


def tpot(run: Run) -> Array:
    """TPOT of every good sample, in seconds; see `tpot_of`."""
    return _array(tpot_of(s) for s in good(run))


def e2e(run: Run, since: Since = "sent") -> Array:
    """End-to-end latency of every good sample, in seconds; see `e2e_of`."""
    return _array(e2e_of(s, since) for s in good(run))


def itl(run: Run) -> Array:
    """Gaps between successive non-empty chunks of one reply, pooled over the good samples, in seconds.

    What a reader sees as stutter. Not TPOT: pooled gaps keep the stalls that a mean per request hides, and a
    chunk is not a token (speculative decoding sends two or three in one).
    """
    return _array(gap for s in good(run) for gap in np.diff(s.chunks))


def cached_share(run: Run, turn: int | None = None) -> float | None:
    """Share of the prompt tokens that the server had in its cache: sum(cached) / sum(prompt); None without any.

    Over the good samples, or those of one turn of their sessions (from 0). Counted in tokens, as vLLM's prefix cache hit
    rate is (hits / queries, both in tokens), so a long prompt counts for more than a short one.
    """
    samples = [s for s in good(run) if turn is None or s.turn == turn]
    prompt = sum(s.prompt_tokens for s in samples)
    return sum(s.cached_tokens for s in samples) / prompt if prompt else None


def lateness(run: Run) -> Array:
    """How late each request left, in seconds: sent - scheduled, failed ones included (they were sent too)."""
    return _array(s.sent - s.scheduled for s in run.samples)


def percentile(values: Array | Sequence[float], p: float) -> float | None:
    """The p-th percentile (0..100), interpolated linearly; None where the sample is too small.

    Above the median, at least one value must lie beyond it: n * (1 - p/100) >= 1, so p95 needs 20 values and
    p99 needs 100. A tool that prints the p99 of 20 requests prints their maximum.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0 or (p > 50 and data.size * (100 - p) < 100 - 1e-9):
        return None
    return float(np.percentile(data, p))


def window(run: Run) -> float:
    """Seconds over which throughput is counted, from the first send (0).

    Closed loop: `full`, until a stream first found nothing left to send: up to there every stream was busy,
    so the draining tail, where the server idles because the test is ending, does not count. Sessions: until a user first had
    none left; the pauses in which users think count. Open loop: the whole run.
    """
    return run.full if run.full else run.wall


def tokens_within(sample: Sample, end: float) -> float:
    """Completion tokens of one sample that had arrived by `end` seconds.

    Chunks are spread over the tokens evenly: tokens * (chunks by then) / (all chunks).
    """
    if not sample.chunks:
        return 0.0
    arrived = int(np.searchsorted(sample.chunks, end, side="right"))
    return sample.completion_tokens * arrived / len(sample.chunks)


def tokens_per_second(run: Run) -> float:
    """Completion tokens that arrived in the window, over the window: sum(tokens_within) / window.

    Good samples only. In a closed loop the server is idle at 0 and every stream is busy until the window
    ends, so all work that falls in the window is counted and none from outside it: neither ramp nor tail
    biases the figure.
    """
    span = window(run)
    return sum(tokens_within(s, span) for s in good(run)) / span if span > 0 else 0.0


def requests_per_second(run: Run) -> float:
    """Good samples that ended in the window, over the window."""
    span = window(run)
    return sum(1 for s in good(run) if s.end is not None and s.end <= span) / span if span > 0 else 0.0


def concurrency(run: Run) -> float:
    """Mean number of requests in flight over the window: sum of overlaps / window (Little's law)."""
    span = window(run)
    busy = sum(max(0.0, min(s.end or run.wall, span) - s.sent) for s in run.samples if s.sent < span)
    return busy / span if span > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """A promise per request, in milliseconds; a limit left out is not asked for."""

    ttft_ms: float | None = None
    tpot_ms: float | None = None
    e2e_ms: float | None = None

    def met(self, sample: Sample, since: Since = "scheduled") -> bool:
        """Whether one request kept every stated limit. A failed request keeps none.

        A reply of one token has no TPOT and keeps that limit.
        """
        if not sample.ok:
            return False
        for limit, value in (
            (self.ttft_ms, ttft_of(sample, since)),
            (self.e2e_ms, e2e_of(sample, since)),
        ):
            if limit is not None and (value is None or value * 1000 > limit):
                return False
        each = tpot_of(sample)
        return self.tpot_ms is None or each is None or each * 1000 <= self.tpot_ms

    def __str__(self) -> str:
        parts = [("TTFT", self.ttft_ms), ("TPOT", self.tpot_ms), ("end to end", self.e2e_ms)]
        return ", ".join(f"{name} ≤ {limit:g} ms" for name, limit in parts if limit is not None) or "no limit"


@dataclass(frozen=True, slots=True)
class Goodput:
    """What of a run kept its promise."""

    requests: int  # that met the SLO
    of: int  # that were sent, failures included
    share: float  # requests / of
    requests_per_second: float  # met and ended in the window, over the window
    tokens_per_second: float  # of those that met it, in the window


def goodput(run: Run, slo: SLO, since: Since = "scheduled") -> Goodput:
    """The part of the throughput that kept the SLO (DistServe, OSDI 2024, section 2).

    Latencies count from the scheduled time unless said otherwise: a request that waited was late for its
    user.
    """
    kept = [s for s in run.samples if slo.met(s, since)]
    span = window(run)
    ended = sum(1 for s in kept if s.end is not None and s.end <= span)
    tokens = sum(tokens_within(s, span) for s in kept)
    return Goodput(
        requests=len(kept),
        of=len(run.samples),
        share=len(kept) / len(run.samples) if run.samples else 0.0,
        requests_per_second=ended / span if span > 0 else 0.0,
        tokens_per_second=tokens / span if span > 0 else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its range: what repeated rounds agree on."""

    median: float
    low: float
    high: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """From the rounds of one quantity. At least one is needed (ValueError otherwise)."""
        data = sorted(values)
        if not data:
            raise ValueError("a spread needs at least one value")
        return cls(float(np.median(data)), data[0], data[-1], len(data))

    def __str__(self) -> str:
        digits = max(0, 3 - math.ceil(math.log10(abs(self.median) + 1e-12))) if self.median else 0
        return f"{self.median:.{digits}f} [{self.low:.{digits}f}–{self.high:.{digits}f}], n={self.n}"


def _array(values: Iterable[float | None]) -> Array:
    return np.array([v for v in values if v is not None], dtype=np.float64)
