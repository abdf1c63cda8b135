"""Probes that several labs share: each asks something that runs and returns what it saw."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checks.check import Context, Verdict, failed, inconclusive, passed
from ...errors import LabError
from ...load import closed
from ...records import stats
from ...records.schema import Noise, Plan
from ...serve import Server, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

LOOPBACK = ("127.", "::1", "localhost")


def listens_beyond_loopback(server: Server) -> list[str]:
    """The addresses on which a server's process listens that others can reach; empty: loopback only."""
    return [address for address in server.listening() if not address.startswith(LOOPBACK)]


def queue_share(ctx: Context, server: Server, streams: int, *, requests: int = 8) -> float:
    """How often, in looks at `requests_deferred` during a closed loop of `streams`, a request waited for a slot (0..1).

    That gauge is the length of the queue at the moment of the look (server-queue.cpp); it is not one of those that
    a scrape resets.
    """
    looks: list[bool] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            try:
                looks.append(server.metrics().get("requests_deferred", 0.0) >= 1)
            except LabError:
                return

    plan = closed(streams, requests=max(requests, 3 * streams), warmup=streams, max_tokens=64, seed=ctx.seed)
    watcher: threading.Thread | None = None

    def begin(phase: str) -> None:
        nonlocal watcher
        if phase == "run" and watcher is None:
            watcher = threading.Thread(target=watch, daemon=True)
            watcher.start()

    try:
        ctx.measure(server, [plan], on_phase=begin)
    finally:
        done.set()
        if watcher is not None:
            watcher.join(timeout=5)
    # The loop drains at the end: the last round of requests finds free slots whatever the concurrency.
    kept = looks[: max(1, int(len(looks) * (1 - streams / (plan.requests + streams))))]
    return sum(kept) / len(kept) if kept else 0.0


def ratio_interval(
    pairs: Sequence[tuple[float, float]], *, seed: int = 0, draws: int = 2000
) -> tuple[float, float, float]:
    """Median of the pairwise ratios a/b, with a 90 % bootstrap percentile interval (Efron, 1979): (low, median, high).

    Pairs are measured one right after the other, so that a slow minute of the machine falls on both.
    """
    ratios = np.array([a / b for a, b in pairs if b > 0])
    if ratios.size == 0:
        return 0.0, 0.0, 0.0
    draw = random.Random(seed)
    medians = sorted(float(np.median(draw.choices(ratios.tolist(), k=ratios.size))) for _ in range(draws))
    return medians[int(0.05 * draws)], float(np.median(ratios)), medians[int(0.95 * draws) - 1]


def fastest(ctx: Context, specs: Sequence[Spec], *, plan: Plan, rounds: int = 2) -> Server:
    """The fastest of several servers of the lab's own, by the median of interleaved rounds; the others are stopped.

    One that is not half as fast as the fastest so far is not measured again.
    """
    servers = [ctx.reference(spec) for spec in specs]
    speeds: dict[int, list[float]] = {id(server): [] for server in servers}
    for _ in range(rounds):
        best_so_far = max((max(seen) for seen in speeds.values() if seen), default=0.0)
        for server in servers:
            if speeds[id(server)] and max(speeds[id(server)]) < best_so_far / 2:
                continue
            speeds[id(server)].append(stats.tokens_per_second(ctx.measure(server, [plan]).runs[0]))
            ctx.say(f"threads {server.spec.flags.get('threads')}: {speeds[id(server)][-1]:.0f} tokens/s")
    best = max(servers, key=lambda server: float(np.median(speeds[id(server)])))
    for server in servers:
        if server is not best:
            ctx.stop(server)
    return best


def compare_speed(
    ctx: Context,
    *,
    learner: Server,
    reference: Server,
    plan: Plan,
    at_least: float,
    pairs: int = 4,
    budget: int = 8,
    far: float = 0.2,
    fix: str = "",
) -> Verdict:
    """Tokens/s of the learner's server as a share of a reference, in pairs measured in turn on this machine.

    Passes when the median ratio reaches `at_least` and the interval is not wholly below it; fails when after twice
    `pairs` the whole interval is below, or after three that are all far below; measures on (to `budget` pairs) while it
    cannot say, and is inconclusive then.
    So it is when others took CPU in half of the runs: two threads lose more by a busy neighbour than a reference's one does.

    :param far: three pairs below this share of the reference are enough to fail, whoever takes CPU meanwhile; where nobody
        does, three below half of `at_least` are.
    """
    measured: list[tuple[float, float]] = []
    noise: list[Noise] = []
    expected = f"at least {at_least:.0%} of the reference's tokens per second, measured in turn with it"
    low = middle = high = 0.0
    while True:
        turn = len(measured)
        order = (learner, reference) if turn % 2 == 0 else (reference, learner)
        runs = {id(server): ctx.measure(server, [plan]).runs[0] for server in order}
        speed = {server: stats.tokens_per_second(run) for server, run in runs.items()}
        noise += [run.noise for run in runs.values()]
        measured.append((speed[id(learner)], speed[id(reference)]))
        ctx.say(f"pair {turn + 1}: {speed[id(learner)]:.0f} and {speed[id(reference)]:.0f} tokens/s")
        taken = [run.foreign_cpu for run in noise if run.noisy and run.foreign_cpu is not None]
        disturbed = 2 * len(taken) >= len(noise)
        limit = far if disturbed else max(far, at_least / 2)
        hopeless = len(measured) >= 3 and all(a < b * limit for a, b in measured)
        if len(measured) < pairs and not hopeless:
            continue
        low, middle, high = ratio_interval(measured, seed=ctx.seed)
        # To fail somebody takes twice the pairs that passing takes: a busy minute must not cost points.
        slow = high < at_least and len(measured) >= min(2 * pairs, budget)
        if hopeless or low >= at_least or slow or len(measured) >= budget:
            break
    observed = (
        f"{middle:.2f} of the reference (90 % interval {low:.2f} to {high:.2f}, {len(measured)} pairs; "
        f"yours {np.median([a for a, _ in measured]):.0f} tokens/s, reference {np.median([b for _, b in measured]):.0f})"
    )
    evidence: dict[str, Any] = {
        "expected": expected,
        "observed": observed + (f" {fix}" if high < at_least else ""),
        "look": learner.command,
    }
    data: dict[str, Any] = {
        "low": round(low, 3),
        "ratio": round(middle, 3),
        "high": round(high, 3),
        "pairs": len(measured),
    }
    if low >= at_least or (middle >= at_least and high >= 1.0):
        return passed(**evidence, **data)
    if high < at_least and not hopeless and disturbed:
        return inconclusive(f"others took {np.median(taken):.0%} of the CPU meanwhile", **evidence, **data)
    if high < at_least:
        return failed(**evidence, **data)
    return inconclusive("the machine is too noisy to say", **evidence, **data)
