"""Records of a server whose speeds are known, without a server."""

from __future__ import annotations

import numpy as np

from llmlab.capacity.trace import Trace
from llmlab.load import schedule
from llmlab.records.schema import Machine, Noise, Plan, Record, Run, Sample, ServerInfo

from . import iterations

MACHINE = Machine(cpu="made", cores=2, memory=1, system="s", python="3", llmlab="0", profile="laptop")
QUIET = Noise(
    foreign_cpu=0.0, server_cpu=0.5, client_cpu=0.1, lateness_p99=0.001, client_limited=False, noisy=False
)
NOISY = Noise(
    foreign_cpu=0.6,
    server_cpu=0.3,
    client_cpu=0.1,
    lateness_p99=0.001,
    client_limited=False,
    noisy=True,
    reason="a build",
)


def server(**more) -> ServerInfo:
    given = {
        "command": ["llama-server"], "flags": {}, "engine": "built", "engine_version": "1", "model": "20m", "model_sha256": "ab" * 32,
        "model_parameters": 1, "model_bytes": 1, "slots": 4, "ctx_per_slot": 4096, "threads": 1,
    }  # fmt: skip
    return ServerInfo(**(given | more))


def record(runs, **more) -> Record:
    return Record(
        kind="load", created="now", machine=MACHINE, servers=[server(**more)], runs=runs, versions={}
    )


def run(plan: Plan, speeds, *, repeat: int = 0, noise=QUIET, jitter: float = 0.0, servers: int = 1) -> Run:
    """The plan's requests as the loop over iterations serves them; a closed loop begins its next when a reply ends."""
    trace = Trace(
        np.array(schedule(plan) or [0.0] * plan.requests),
        np.array(plan.each_prompt or [plan.prompt_tokens] * plan.requests),
        np.array(plan.each_reply or [plan.max_tokens] * plan.requests),
    )
    served = iterations.replay(trace, speeds, servers, streams=plan.concurrency)
    draw = np.random.default_rng(repeat)
    samples = []
    for n, request in enumerate(served):
        began = round(request.began, 6)
        chunks = np.round(np.array(request.tokens) - jitter * draw.random(request.output), 6).tolist()
        samples.append(
            Sample(
                n=n, scheduled=began, sent=began, first=chunks[0], last=chunks[-1], end=chunks[-1], chunks=chunks,
                prompt_tokens=request.prompt, completion_tokens=len(chunks), prompt_ms=1000 * (chunks[0] - began), status=200,
            )
        )  # fmt: skip
    return Run(
        server=0, plan=plan, samples=samples, started="now", wall=max(s.end for s in samples), full=None, noise=noise, repeat=repeat
    )  # fmt: skip
