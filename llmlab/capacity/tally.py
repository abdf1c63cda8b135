"""What is done with requests that are done: into columns, into histograms (numba)."""

from __future__ import annotations

import math
from typing import Any

from .jit import inlined, jit
from .state import PENDING, SERVED


@inlined
def put(bins: Any, value: float, lowest: float, width: float) -> None:
    """Count a value: bin 0 up to `lowest`, then each one `width` (of the logarithm) wide, the last without end."""
    place = 0
    if value > lowest:
        place = min(1 + int(math.log(value / lowest) / width), len(bins) - 1)
    bins[place] += 1


@jit
def tally(requests: Any, bins: Any, sums: Any, limits: Any, lowest: float, width: float) -> None:
    """Add TTFT, E2E and wait of what was served, and what kept all three limits (TTFT, E2E, TPOT; seconds)."""
    for which in range(len(requests)):
        request = requests[which]
        if request.status != SERVED:
            continue
        wait = request.started - request.arrival
        put(bins[0], request.ttft, lowest, width)
        put(bins[1], request.e2e, lowest, width)
        put(bins[2], wait, lowest, width)
        sums[0] += request.ttft
        sums[1] += request.e2e
        sums[2] += wait
        tpot = (request.e2e - request.ttft) / max(request.output - 1, 1)
        if request.ttft <= limits[0] and request.e2e <= limits[1] and tpot <= limits[2]:
            sums[3] += 1
            sums[4] += request.output


@jit
def store(requests: Any, ttft: Any, e2e: Any, started: Any, server: Any, status: Any) -> None:
    """Enter what is done into columns of the whole trace."""
    for which in range(len(requests)):
        request = requests[which]
        if request.status != PENDING:
            number = request.number
            ttft[number], e2e[number], started[number] = request.ttft, request.e2e, request.started
            server[number], status[number] = request.server, request.status


@jit
def fill(requests: Any, first: int, number: int, arrival: Any, prompt: Any, output: Any) -> None:
    """Enter new requests, the first of which has this number in the whole trace, at the end of an array of zeros."""
    for place in range(len(arrival)):
        request = requests[first + place]
        request.arrival, request.prompt, request.output = arrival[place], prompt[place], output[place]
        request.number, request.prefix, request.server = number + place, -1, -1
        request.started = request.ttft = request.e2e = math.nan
