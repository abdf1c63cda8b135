"""The simulator beside SimPy and Ciw on one workload, and how its cost grows with the number of requests.

One queue, first in, first out, for 100 servers of 4 slots, 80 % of them busy. SimPy and Ciw see it as one queue with 400 servers:
the leanest model that either can have of it. Each runs in a process of its own, after another; arrivals and lengths are made before
the clock starts, and what is compiled is loaded. All three must say the same of every request.
"""

from __future__ import annotations

import hashlib
import json
import math
import resource
import subprocess
import sys
from collections.abc import Iterator
from time import perf_counter, process_time

import numpy as np

SERVERS, SLOTS, LOAD, TOKENS, STEP = 100, 4, 0.8, 200, 0.01
SIZES = (100_000, 1_000_000, 10_000_000)
CHUNK = 100_000


def _chunk(draw, many: int, begin: float):
    from llmlab.capacity.trace import Trace

    rate = LOAD * SERVERS * SLOTS / (TOKENS * STEP)
    arrival = begin + np.cumsum(draw.exponential(1 / rate, many))
    return Trace(
        arrival, np.zeros(many, np.int64), 1 + np.rint(draw.exponential(TOKENS, many)).astype(np.int64)
    )


def _ours():
    from llmlab.capacity.fleet import Replicas
    from llmlab.capacity.simulate import simulate, simulate_stream
    from llmlab.capacity.speeds import Speeds

    speeds, fleet = Speeds(math.inf, (STEP,) * SLOTS), Replicas(servers=SERVERS)
    few = _chunk(np.random.default_rng(0), 10, 0.0)
    began = perf_counter()
    simulate(few, speeds, fleet)
    simulate_stream([few], speeds, fleet)
    return simulate, simulate_stream, speeds, fleet, perf_counter() - began


def _measure(system: str, many: int) -> dict:
    """In a process of its own: seconds on the clock and of the processor, peak memory, and what was seen."""
    extra, started = {}, None
    trace = None if system == "stream" else _chunk(np.random.default_rng(7), many, 0.0)
    service = None if trace is None else (trace.output_tokens - 1) * STEP
    if system in ("ours", "stream"):
        simulate, stream, speeds, fleet, extra["first"] = _ours()
    else:
        from tests.capacity import yardsticks
    making = [0.0]

    def chunks():
        draw, begin = np.random.default_rng(7), 0.0
        for _ in range(many // CHUNK):
            since = process_time()
            chunk = _chunk(draw, CHUNK, begin)
            begin = float(chunk.arrival_s[-1])
            making[0] += process_time() - since
            yield chunk

    began, used = perf_counter(), process_time()
    if system == "ours":
        started = simulate(trace, speeds, fleet).started
    elif system == "stream":
        extra["peak"] = stream(chunks(), speeds, fleet).totals.peak
    else:
        started = getattr(yardsticks, f"{system}_queue")(trace, service, SERVERS * SLOTS)
    extra |= {"clock": perf_counter() - began, "seconds": process_time() - used - making[0]}
    if started is not None:
        waits = started - trace.arrival_s
        extra |= {"wait": float(waits.mean()), "waited": int((waits > 1e-6).sum())}
        extra["same"] = hashlib.sha256(np.rint(waits * 1e4 + 0.25).astype(np.int64).tobytes()).hexdigest()
    return extra | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10}


def _run(system: str, many: int) -> dict:
    command = [sys.executable, "-m", "tests.benchmarks.capacity", system, str(many)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {
            "ended": done.stderr.strip().splitlines()[-1] if done.stderr else f"signal {-done.returncode}"
        }
    return json.loads(done.stdout)


def capacity(many: int) -> Iterator[str]:
    """So many requests through each, then 10⁵ to 10⁷ streamed through ours."""
    yield f"capacity: {many:,} requests, {SERVERS} servers of {SLOTS} slots, load {LOAD}, one queue; seconds of the processor"
    ours = _run("ours", many)
    for system in ("ours", "simpy", "ciw"):
        seen = ours if system == "ours" else _run(system, many)
        if "ended" in seen:
            yield f"  {system}: {seen['ended']}"
            continue
        line = f"  {system}: {seen['seconds']:.2f} s ({seen['clock']:.2f} s on the clock, {seen['seconds'] / many * 1e9:,.0f} ns a request), "
        line += f"peak memory {seen['memory']:,.0f} MB, mean wait {seen['wait'] * 1e3:.4f} ms, {seen['waited']:,} waited"
        if system == "ours":
            line += f"; first call {seen['first']:.1f} s, not counted"
        else:
            same = "the same waits" if seen["same"] == ours["same"] else "OTHER WAITS"
            line += f"; {same}; ours is {seen['seconds'] / ours['seconds']:.0f} times as quick"
        yield line
    rows = []
    for size in SIZES:
        seen = sorted((_run("stream", size) for _ in range(3)), key=lambda run: run["seconds"])
        rows.append(seen[1]["seconds"])
        yield (
            f"  streamed {size:>10,}: {rows[-1]:.3f} s [{seen[0]['seconds']:.3f}-{seen[2]['seconds']:.3f}], "
            f"{rows[-1] / size * 1e9:.0f} ns a request, peak memory {seen[1]['memory']:,.0f} MB, at most {seen[1]['peak']:,} in flight and waiting"
        )
    slope = np.polyfit(np.log(SIZES), np.log(rows), 1)[0]
    yield f"  seconds grow as requests to the power of {slope:.3f}"


if __name__ == "__main__":
    print(json.dumps(_measure(sys.argv[1], int(sys.argv[2]))))
