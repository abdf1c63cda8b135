"""Requests played by hand: a sample whose times are round numbers, and a run of some."""

from __future__ import annotations

from typing import Any

from llmlab.records.schema import Noise, Plan, Run, Sample

QUIET = Noise(
    foreign_cpu=0.0, server_cpu=0.5, client_cpu=0.1, lateness_p99=0.0, client_limited=False, noisy=False
)


def sample(n: int = 0, *, at: float = 0.0, late: float = 0.0, **more: Any) -> Sample:
    """Due at `at`, sent `late` later; content at +1.0, +1.5 and +2.0 of sending; complete at +2.25; 5 tokens."""
    sent = at + late
    base: dict[str, Any] = {
        "n": n,
        "scheduled": at,
        "sent": sent,
        "first": sent + 1.0,
        "last": sent + 2.0,
        "end": sent + 2.25,
        "chunks": [sent + 1.0, sent + 1.5, sent + 2.0],
        "prompt_tokens": 8,
        "completion_tokens": 5,
        "status": 200,
        "finish": "length",
    }
    return Sample(**(base | more))


def run(*samples: Sample, wall: float = 10.0, full: float | None = None) -> Run:
    plan = Plan(pattern="closed" if full else "poisson", requests=len(samples))
    return Run(server=0, plan=plan, samples=list(samples), started="", wall=wall, full=full, noise=QUIET)
