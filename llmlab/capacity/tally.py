"""Into histograms (numba)."""

from __future__ import annotations

import math
from typing import Any

from .jit import jit
from .state import SERVED


@jit
def put(bins: Any, value: float, lowest: float, width: float) -> None:
    """Count a value: bin 0 up to `lowest`, then each one `width` (of the logarithm) wide, the last without end."""
    place = 0
    if value > lowest:
        place = min(1 + int(math.log(value / lowest) / width), len(bins) - 1)
    bins[place] += 1


@jit
def tally(done: Any, bins: Any, sums: Any, limits: Any, lowest: float, width: float) -> None:
    """Add TTFT, E2E and wait of what was served, and what kept all three limits (TTFT, E2E, TPOT; seconds)."""
    for request in done:
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
