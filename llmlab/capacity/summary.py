"""The latencies of more requests than one wants to keep."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import LabError
from ..records.stats import SLO, Goodput
from .outcome import Totals, What, good
from .trace import Column

#: Seconds: below the first, all is one bin; above the second, too.
LOWEST, HIGHEST = 1e-6, 1e7


class Summary:
    """Sums of a simulated run, and histograms of TTFT, E2E and wait with bins of one relative width.

    A percentile read from them is off by no more than half of `resolution` (Masson, Rim and Lee, DDSketch, VLDB 2019).
    """

    totals: Totals

    def __init__(self, resolution: float, slo: SLO | None) -> None:
        if not 0 < resolution < 1:
            raise LabError(f"resolution must be between 0 and 1, not {resolution}.", fix="resolution=0.01")
        self.resolution, self.slo = resolution, slo
        self.limits = np.array(
            [
                math.inf if slo is None or limit is None else limit / 1000
                for limit in ((slo.ttft_ms, slo.e2e_ms, slo.tpot_ms) if slo else (None,) * 3)
            ]
        )
        self._width = math.log1p(resolution)
        bins = 2 + math.ceil(math.log(HIGHEST / LOWEST) / self._width)
        self._bins = np.zeros((3, bins), np.int64)
        self._sums = np.zeros(5)  # of the three, then requests and tokens that kept the SLO

    def count(self, requests: Column) -> None:
        """Add those of some requests (`llmlab.capacity.state.REQUEST`) that were served."""
        from .tally import tally

        tally(requests, self._bins, self._sums, self.limits, LOWEST, self._width)

    def percentiles(self, what: What = "ttft", at: Sequence[float] = (50, 95, 99)) -> tuple[float, ...]:
        """Percentiles in seconds over all that was served: the middle of the bin of the nearest rank; NaN where nothing was.

        :raises LabError: for another name than ttft, e2e or wait.
        """
        counts = np.cumsum(self._bins[self._row(what)])
        if not counts[-1]:
            return (math.nan,) * len(at)
        ranks = np.maximum(1, np.ceil(np.asarray(at) / 100 * counts[-1]))
        places = np.searchsorted(counts, ranks)
        return tuple(LOWEST * math.exp((place - 0.5) * self._width) if place else 0.0 for place in places)

    def mean(self, what: What = "ttft") -> float:
        """The mean in seconds, exact; NaN where nothing was served."""
        row = self._row(what)
        many = self._bins[row].sum()
        return float(self._sums[row] / many) if many else math.nan

    def goodput(self) -> Goodput:
        """What kept the SLO that the run was given; everything that was served, without one."""
        return good(int(self._sums[3]), self.totals.requests, float(self._sums[4]), self.totals.end_s)

    def _row(self, what: str) -> int:
        names = ("ttft", "e2e", "wait")
        if what not in names:
            raise LabError(f"{what!r} is not simulated.", fix='what="ttft", "e2e" or "wait"')
        return names.index(what)
