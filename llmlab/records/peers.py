"""A run in the words of other load tools: what each would have called TTFT, ITL, TPOT, latency, goodput and throughput.

The same samples, other formulas. Each function's docstring names the file and version in which the formula stands (read there, and
written here in our own words); docs/peers.md has them side by side. What differs that no formula can undo: their clock starts before
the connection is made, ours when the request has left (on one machine tens of microseconds, across a network a round trip).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .schema import Run
from .stats import SLO, Array, good


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """A run as another tool reports it: times in seconds, one for each good request (`itl`: see there), rates over its window."""

    tool: str  # whose words
    ttft: Array  # time to first token
    tpot: Array  # time per output token; of AIPerf, which has none, empty
    itl: Array  # inter-token latency: of AIPerf and guidellm one a request, of vLLM and inference-perf all gaps between chunks
    latency: Array  # of the whole request
    seconds: float  # the window of its rates
    requests_per_second: float  # good ones
    tokens_per_second: float  # output tokens of good requests


class _Reply(NamedTuple):
    """A good request with content; times in seconds, all but `sent` from when it left."""

    sent: float
    first: float
    last: float
    end: float
    tokens: int
    chunks: list[float]


def _replies(run: Run) -> list[_Reply]:
    return [
        _Reply(s.sent, s.first - s.sent, s.last - s.sent, s.end - s.sent, s.completion_tokens, s.chunks)
        for s in good(run)
        if s.first is not None and s.last is not None and s.end is not None
    ]


def as_vllm(run: Run) -> Translation:
    """`vllm bench serve` (vllm/benchmarks/serve.py, `calculate_metrics`, and lib/endpoint_request_func.py, 0.33.0).

    TPOT is (latency - TTFT) / (tokens - 1), as ours; latency ends at the last chunk with text, not at the end of the reply; ITL are
    the gaps between chunks, pooled; rates are over the whole run, with the time in which it fills and drains.
    """
    replies = _replies(run)
    return _translation(
        "vLLM bench serve",
        run,
        replies,
        tpot=((r.last - r.first) / (r.tokens - 1) for r in replies if r.tokens > 1),
        itl=(gap for r in replies for gap in np.diff(r.chunks)),
        latency=(r.last for r in replies),
        seconds=run.wall,
    )


def as_aiperf(run: Run) -> Translation:
    """AIPerf (aiperf/metrics/types: ttft_metric.py, request_latency_metric.py, inter_token_latency_metric.py, 0.13.0).

    ITL is one number a request: (latency - TTFT) / (tokens - 1), what vLLM and we call TPOT. Latency ends at the last response with
    content. Rates are over `benchmark_duration`: from the first request to the last response with content.
    """
    replies = _replies(run)
    begun = min((r.sent for r in replies), default=0.0)
    last = max((r.sent + r.last for r in replies), default=0.0)
    return _translation(
        "AIPerf",
        run,
        replies,
        tpot=(),
        itl=((r.last - r.first) / (r.tokens - 1) for r in replies if r.tokens > 1),
        latency=(r.last for r in replies),
        seconds=last - begun,
    )


def as_guidellm(run: Run) -> Translation:
    """guidellm (src/guidellm/schemas/base/request_stats.py, 0.8.1).

    TPOT is (last token - request's start) / tokens: the first token and its wait are in it, so a long prompt makes it longer. ITL is
    one number a request, (last - first) / (tokens - 1): what we call TPOT. Latency ends with the reply. Its rates are means of what
    was under way at each moment; over a whole run that is tokens over seconds, as here, but for its edges.
    """
    replies = _replies(run)
    return _translation(
        "guidellm",
        run,
        replies,
        tpot=(r.last / r.tokens for r in replies if r.tokens),
        itl=((r.last - r.first) / (r.tokens - 1) for r in replies if r.tokens > 1),
        latency=(r.end for r in replies),
        seconds=run.wall,
    )


def as_inference_perf(run: Run) -> Translation:
    """inference-perf (inference_perf/reportgen/base.py, `summarize_requests`, 0.7.0), with `use_server_output_tokens`.

    TPOT is (last - first) / (tokens - 1), as ours; latency ends with the reply; ITL are the gaps between chunks, pooled. Without that
    option a local tokenizer counts, chunk by chunk. Rates are from the first start to the last end, failed requests included.
    """
    replies = _replies(run)
    begun = min((s.sent for s in run.samples), default=0.0)
    ended = max((s.sent if s.end is None else s.end for s in run.samples), default=0.0)
    return _translation(
        "inference-perf",
        run,
        replies,
        tpot=((r.last - r.first) / (r.tokens - 1) for r in replies if r.tokens > 1),
        itl=(gap for r in replies for gap in np.diff(r.chunks)),
        latency=(r.end for r in replies),
        seconds=ended - begun,
    )


def goodput_as_peers(run: Run, slo: SLO) -> float:
    """Good requests a second that kept `slo`, over the whole run, each counted from when it left.

    vLLM (`--goodput`), AIPerf (goodput_metric.py) and inference-perf (`request_goodput`) all divide so. Ours counts from when a
    request was due, and over the window in which every stream was busy (`stats.goodput`): a run that was behind looks better here.
    """
    kept = sum(slo.met(sample, since="sent") for sample in run.samples)
    return kept / run.wall if run.wall > 0 else 0.0


def _translation(
    tool: str,
    run: Run,
    replies: list[_Reply],
    *,
    tpot: Iterable[float],
    itl: Iterable[float],
    latency: Iterable[float],
    seconds: float,
) -> Translation:
    tokens = sum(r.tokens for r in replies)
    return Translation(
        tool=tool,
        ttft=_array(r.first for r in replies),
        tpot=_array(tpot),
        itl=_array(itl),
        latency=_array(latency),
        seconds=seconds,
        requests_per_second=len(replies) / seconds if seconds > 0 else 0.0,
        tokens_per_second=tokens / seconds if seconds > 0 else 0.0,
    )


def _array(values: Iterable[float]) -> Array:
    return np.array(list(values), dtype=np.float64)
