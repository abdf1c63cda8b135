"""Clients side by side on one server, in alternating rounds: CPU per token, tokens per second."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from llmlab.load import Target, closed, measure
from llmlab.load.metrics import vocabulary
from llmlab.load.prompts import PATHS, body
from llmlab.records.stats import Spread
from llmlab.serve import Server, Spec

from .whole import beside

CLIENTS = Path(__file__).with_name("clients.py")
CONCURRENCY = 8


@dataclass(frozen=True, slots=True)
class Lap:
    """One client's round: tokens/s over the whole run, tail included, for all alike."""

    cpu_per_1000: float  # client CPU-seconds per 1,000 streamed tokens
    rate: float
    failed: int


def target_of(server: Server) -> Target:
    return Target(url=server.url, info=server.info(), api_key=server.key, pid=server.pid)


def llmlab(server: Server, requests: int, turn: int) -> Lap:
    plan = closed(CONCURRENCY, requests=requests, warmup=0, seed=turn)
    (run,) = measure(target_of(server), [plan]).runs
    tokens = sum(s.completion_tokens for s in run.samples if s.ok)
    cpu = run.noise.client_cpu * run.wall
    return Lap(cpu / tokens * 1000, tokens / run.wall, sum(not s.ok for s in run.samples))


def other(name: str) -> Callable[[Server, int, int], Lap]:
    def lap(server: Server, requests: int, turn: int) -> Lap:
        plan = closed(CONCURRENCY, requests=requests, seed=turn)
        vocab = vocabulary(target_of(server))
        job = {
            "url": server.url + PATHS["completion"],
            "concurrency": CONCURRENCY,
            "bodies": [body(plan, n, vocab=vocab).decode() for n in range(requests)],
        }
        said = subprocess.run(
            [sys.executable, str(CLIENTS), name],
            input=json.dumps(job),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=300,
        )
        got = json.loads(said.stdout)
        return Lap(got["cpu"] / max(1, got["tokens"]) * 1000, got["tokens"] / got["wall"], got["failed"])

    return lap


def _failed(laps: list[Lap]) -> int:
    return sum(lap.failed for lap in laps)


def race(rounds: int, requests: int) -> list[str]:
    """The lines to print."""
    lanes: dict[str, Callable[[Server, int, int], Lap]] = {"llmlab.load": llmlab}
    lanes |= {
        name: other(name)
        for name in ("aiohttp", "aiohttp+uvloop", "httpx")
        if all(find_spec(part) for part in name.split("+"))
    }
    laps: dict[str, list[Lap]] = {name: [] for name in lanes}
    flags = {"parallel": CONCURRENCY, "ctx-size": 1024 * CONCURRENCY, "threads": 1, "metrics": True}
    with Server(Spec(model="20m", flags=flags)) as server:
        llmlab(server, CONCURRENCY, 99)  # warm-up
        for turn in range(rounds):
            names = list(lanes)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                laps[name].append(lanes[name](server, requests, turn))
        tools = beside(server, streams=CONCURRENCY, requests=requests, rounds=rounds)
        engine = server.engine.line()
    lines = [
        f"clients: 20m, 1 thread, {CONCURRENCY} streams, {requests} x 64 tokens, {rounds} alternating rounds",
        f"  on {engine}",
    ]
    own = laps["llmlab.load"]
    for name, theirs in laps.items():
        cpu = Spread.of(lap.cpu_per_1000 for lap in theirs)
        rate = Spread.of(lap.rate for lap in theirs)
        lines.append(f"  {name:14} CPU-s per 1,000 tokens {cpu} | tokens/s {rate} | failed {_failed(theirs)}")
    for name, theirs in laps.items():
        if name != "llmlab.load":
            # Ratios round by round: neighbours in time share the machine's mood.
            pairs = list(zip(own, theirs, strict=True))
            cpu = Spread.of(mine.cpu_per_1000 / lap.cpu_per_1000 for mine, lap in pairs)
            rate = Spread.of(mine.rate / lap.rate for mine, lap in pairs)
            lines.append(f"  llmlab.load over {name:14} CPU {cpu} | tokens/s {rate}")
    absent = [name for name in ("uvloop", "aiohttp", "httpx") if not find_spec(name)]
    if absent:
        lines.append(f"  not installed here, so not measured: {', '.join(absent)}")
    # guidellm's prompts are text, so its bodies would not be these; it also brings 6 GB of torch and CUDA.
    return [*lines, *tools, "  guidellm: no driver for it here, so not measured"]
