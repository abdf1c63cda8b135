"""Realistic records, made by playing a server with slots: requests queue for a slot, prefill, then decode together."""

from __future__ import annotations

import heapq
import random

from llmlab.records.schema import (
    Device,
    Machine,
    Noise,
    Plan,
    Record,
    Run,
    Sample,
    ServerInfo,
    Table,
    Throttle,
)

MACHINE = Machine(
    cpu="AMD EPYC 7763",
    cores=2,
    memory=8 * 2**30,
    system="Linux 6.18 x86_64",
    python="3.11.7",
    llmlab="0.1.0",
    profile="laptop",
)


def server(
    *, slots: int = 4, threads: int | None = 1, cpus: float | None = None, **more: object
) -> ServerInfo:
    base = {
        "command": ["llama-server", "--parallel", str(slots)],
        "flags": {"parallel": slots},
        "engine": "wheel",
        "engine_version": "xllamacpp 2026.10.11549",
        "model": "20m",
        "model_sha256": "0" * 64,
        "model_parameters": 22_000_000,
        "model_bytes": 23_000_000,
        "slots": slots,
        "ctx_per_slot": 1024,
        "threads": threads,
        "cpus": cpus,
        "limiter": "cgroup2" if cpus else None,
        "device": Device(),
    }
    return ServerInfo(**(base | more))


def noise(*, noisy: bool = False, client_limited: bool = False, foreign: float = 0.01) -> Noise:
    return Noise(
        foreign_cpu=0.31 if noisy else foreign,
        server_cpu=0.5,
        client_cpu=0.93 if client_limited else 0.06,
        lateness_p99=0.001,
        client_limited=client_limited,
        noisy=noisy,
    )


def run(
    *,
    concurrency: int | None = None,
    rate: float | None = None,
    slots: int = 4,
    requests: int = 32,
    single: float = 600.0,
    gain: float = 0.3,
    tokens: int = 64,
    seed: int = 1,
    index: int = 0,
    repeat: int = 0,
    fail: tuple[int, ...] = (),
    label: str | None = None,
    throttle: Throttle | None = None,
    **doubt: bool,
) -> Run:
    """Play it: `single` tokens/s for one stream; each further busy slot adds `gain` of that to the total."""
    rng = random.Random(seed * 1000 + repeat)
    busy = min(concurrency or slots, slots)
    total = single * (1 + gain * (busy - 1)) * rng.uniform(0.94, 1.06)
    per_token = busy / total
    due: list[float] = []
    if rate is not None:
        at = 0.0
        for _ in range(requests):
            at += rng.expovariate(rate)
            due.append(at)
    free = [0.0] * slots  # when each slot is free
    streams = [0.001 * i for i in range(concurrency or 0)]  # when each stream sends again
    samples = []
    for n in range(requests):
        scheduled = due[n] if rate is not None else heapq.heappop(streams)
        got = heapq.heappop(free)
        begin = max(scheduled + 0.0005, got)
        first = begin + 0.012 * busy * rng.uniform(0.8, 1.3)
        end = first + tokens * per_token * rng.uniform(0.93, 1.09)
        heapq.heappush(free, end)
        if rate is None:
            heapq.heappush(streams, end + 0.0004)
        if n in fail:
            samples.append(
                Sample(n=n, scheduled=scheduled, sent=scheduled + 0.0002, error="HTTP 500", status=500)
            )
            continue
        step = (end - first) / tokens
        samples.append(
            Sample(
                n=n,
                scheduled=scheduled,
                sent=scheduled + 0.0002,
                first=first,
                last=end - 0.0003,
                end=end,
                chunks=[first + step * i for i in range(tokens)],
                prompt_tokens=32,
                completion_tokens=tokens,
                status=200,
                finish="length",
            )
        )
    wall = max(s.end or s.sent for s in samples) - samples[0].sent
    plan = Plan(
        pattern="closed" if rate is None else "poisson",
        concurrency=concurrency,
        rate=rate,
        requests=requests,
        max_tokens=tokens,
        seed=seed,
    )
    ends = sorted((s.end or s.sent for s in samples), reverse=True)
    full = None if rate is not None else ends[min(concurrency or 1, len(ends)) - 1]
    return Run(
        server=index,
        plan=plan,
        samples=samples,
        started="2026-11-24T13:40:00Z",
        wall=wall,
        full=full,
        noise=noise(**doubt),
        repeat=repeat,
        label=label,
        throttle=throttle,
    )


def record(
    runs: list[Run], servers: list[ServerInfo] | None = None, *, kind: str = "load", **more: object
) -> Record:
    return Record(
        kind=kind,
        created="2026-11-24T13:41:00Z",
        machine=MACHINE,
        servers=servers or [server()],
        runs=runs,
        versions={"llmlab": "0.1.0"},
        **more,
    )


def sweep(
    *,
    concurrencies: tuple[int, ...] = (1, 2, 4, 8, 16),
    repeats: int = 3,
    noisy: tuple[tuple[int, int], ...] = (),
    limited: tuple[int, ...] = (),
    **more: object,
) -> Record:
    runs = [
        run(
            concurrency=c,
            repeat=r,
            requests=max(24, 4 * c),
            noisy=(c, r) in noisy,
            client_limited=c in limited,
            **more,
        )
        for r in range(repeats)
        for c in concurrencies
    ]
    return record(runs)


def talks(*, turns: int = 3, users: int = 2) -> Record:
    """Two ways to route the same conversations: to the replica that knows them, and to any."""
    runs = []
    for index, label in enumerate(("one replica", "round robin")):
        samples = []
        for session in range(users):
            for turn in range(turns):
                cached, at = (100 * turn if index == 0 else 0), 2.0 * turn + 0.1 * session
                first = at + 0.1 + 0.002 * (100 * (turn + 1) - cached)
                samples.append(
                    Sample(
                        n=session * turns + turn,
                        scheduled=at,
                        sent=at + 0.001,
                        first=first,
                        last=first + 0.15,
                        end=first + 0.16,
                        chunks=[first, first + 0.15],
                        prompt_tokens=100 * (turn + 1),
                        completion_tokens=16,
                        cached_tokens=cached,
                        status=200,
                        finish="length",
                        session=session,
                        turn=turn,
                    )
                )
        plan = Plan(
            pattern="sessions",
            concurrency=users,
            requests=turns * users,
            turns=turns,
            think=1.0,
            system_tokens=20,
            api="chat",
        )
        runs.append(
            Run(
                server=0,
                plan=plan,
                samples=samples,
                started="2026-11-24T13:40:00Z",
                wall=7.0,
                full=6.5,
                noise=noise(),
                label=label,
            )
        )
    return record(runs)


SPEEDS = {1.0: [88, 31, 12, 5.1], 2.0: [90, 139, 58, 17], None: [91, 150, 148, 141]}


def thread_sweep(*, counts: tuple[int, ...] = (1, 2, 4, 8), repeats: int = 3) -> Record:
    servers, runs = [], []
    for cpus, speeds in SPEEDS.items():
        for count, speed in zip(counts, speeds, strict=True):
            throttle = (
                Throttle(periods=100, throttled=86 if cpus and count > cpus else 0, throttled_seconds=1.0)
                if cpus
                else None
            )
            servers.append(server(slots=1, threads=count, cpus=cpus, model="200m"))
            runs += [
                run(
                    concurrency=1,
                    slots=1,
                    single=speed,
                    requests=6,
                    tokens=32,
                    index=len(servers) - 1,
                    repeat=r,
                    seed=count,
                    throttle=throttle,
                )
                for r in range(repeats)
            ]
    return record(runs, servers, kind="threads")


def table(
    kind: str, columns: str, rows: list[list[object]], note: str | None = None, **versions: str
) -> Table:
    """A table with columns named by one line of words."""
    return Table(
        kind=kind,
        created="2026-11-25T10:00:00.000+00:00",
        machine=MACHINE,
        columns=dict.fromkeys(columns.split(), ""),
        rows=rows,  # type: ignore[arg-type]
        versions=versions,
        note=note,
    )
