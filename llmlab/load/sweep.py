"""Tokens per second over thread counts and CPU quotas: one server after another, rounds interleaved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import msgspec

from ..records.schema import Plan, Record, Run, ServerInfo
from ..records.stats import tokens_per_second
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
    seconds: float = 1.5,
    timeout: float = 6.0,
    seed: int = 0,
    lab: str | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Record:
    """Measure `spec` at every thread count under every CPU quota (cores; None: no quota).

    Rounds are interleaved (all points once, then all again), so that a slow minute of the machine falls on
    every point alike. A short request goes first, as the warm-up; if it has not ended after `timeout` seconds it is
    given up and *is* the point (0 tokens/s, one failure), so that a point beyond the cliff costs seconds, not minutes.
    Otherwise it says how long a reply of about `seconds` is: long enough for a CPU quota to bite, which does not
    throttle a burst shorter than a few of its 100 ms periods.

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
                server_spec = replace(
                    spec,
                    flags={**spec.flags, "threads": count, "threads-batch": count, "metrics": True},
                    limits=Limits(cpus=quota, memory=spec.limits.memory),
                )
                with Server(server_spec, port=0) as server:
                    target = Target(
                        url=server.url,
                        api_key=server.key,
                        pid=server.pid,
                        info=server.info(),
                        throttle=server.throttle,
                    )
                    record = measure(target, [_alone(24, timeout, seed + turn)], lab=lab)
                    first = record.runs[0]
                    if all(sample.ok for sample in first.samples):
                        tokens = round(min(512, max(24, seconds * tokens_per_second(first))))
                        record = measure(
                            target, [_alone(tokens, timeout + 4 * seconds, seed + turn)], lab=lab
                        )
                servers.append(target.info)
                runs.append(msgspec.structs.replace(record.runs[0], server=len(servers) - 1, repeat=turn))
    assert record is not None, "a sweep needs at least one point"
    return msgspec.structs.replace(record, kind="threads", servers=servers, runs=runs, seed=seed)


def _alone(tokens: int, timeout: float, seed: int) -> Plan:
    """One stream, one request."""
    return closed(1, requests=1, warmup=0, max_tokens=tokens, timeout=timeout, seed=seed)
