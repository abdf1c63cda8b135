"""Tokens per second over thread counts and CPU quotas: one server after another, rounds interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from ..records.schema import Record, Run, ServerInfo
from ..serve import Limits, Server, Spec
from .arrivals import closed
from .run import measure
from .target import Target


def sweep(
    spec: Spec,
    *,
    threads: Sequence[int],
    cpus: Sequence[float | None],
    repeats: int = 2,
    requests: int = 4,
    concurrency: int = 1,
    max_tokens: int = 24,
    timeout: float = 6.0,
    seed: int = 0,
    lab: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure `spec` at every thread count under every CPU quota (cores; None: no quota).

    Rounds are interleaved (all points once, then all again), so that a slow minute of the machine falls on
    every point alike. One request goes first, as the warm-up; if it has not ended after `timeout` seconds it is given
    up and *is* the point (0 tokens/s, one failure), so that a point beyond the cliff costs seconds, not minutes.

    :raises LabError: when a server does not start, or the machine cannot hold a process to such a quota.
    """
    servers: list[ServerInfo] = []
    runs: list[Run] = []
    record: Record | None = None
    for turn in range(repeats):
        for quota in cpus:
            for count in threads:
                share = "no quota" if quota is None else f"{quota:g} CPUs"
                say(f"{count} thread{'s' if count != 1 else ''}, {share}")
                one = replace(
                    spec,
                    flags={**spec.flags, "threads": count, "threads-batch": count, "metrics": True},
                    limits=Limits(cpus=quota, memory=spec.limits.memory),
                )
                with Server(one, port=0) as server:
                    target = Target(
                        url=server.url,
                        api_key=server.key,
                        pid=server.pid,
                        info=server.info(),
                        throttle=server.throttle,
                    )
                    common: dict[str, Any] = {
                        "max_tokens": max_tokens,
                        "timeout": timeout,
                        "seed": seed + turn,
                        "warmup": 0,
                    }
                    record = measure(target, [closed(concurrency, requests=concurrency, **common)], lab=lab)
                    if all(sample.ok for sample in record.runs[0].samples):
                        record = measure(target, [closed(concurrency, requests=requests, **common)], lab=lab)
                servers.append(target.info)
                runs.append(msgspec.structs.replace(record.runs[0], server=len(servers) - 1, repeat=turn))
    assert record is not None, "a sweep needs at least one point"
    return msgspec.structs.replace(record, kind="threads", servers=servers, runs=runs, seed=seed)
