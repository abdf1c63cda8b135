"""What a replayed day came to: for how many the promise was kept, who was told no, and who was left without an answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...capacity.plan import Promise
from ...capacity.sizing import slo
from ...records.schema import Cell, Run, Sample
from ...records.stats import e2e_of
from .replay import ServerLoss

TOLD_NO = (429, 503)  # by the door: the queue is full; it waited too long
BINS = 48  # of a day


@dataclass(frozen=True, slots=True)
class DayOf:
    """Counts over a day."""

    requests: int
    kept: int  # answered within the promise
    late: int  # answered, later
    refused: int  # told 429 or 503
    failed: int  # neither
    slowest_no_s: float  # the longest wait of one who was refused
    #: Of each failure that no incident explains, seconds after the last loss before it; inf: there was none.
    unseen: tuple[float, ...]

    @property
    def share(self) -> float:
        """Of all requests, those for which the promise was kept."""
        return self.kept / self.requests if self.requests else 1.0


def day_of(run: Run, promise: Promise, happening: Sequence[ServerLoss]) -> DayOf:
    """Count a day's requests.

    A failure is explained by an incident when its request was sent before the incident's beginning and `recovery_s` after it, and it
    was not yet answered when the incident began.
    """
    target = slo(promise)
    kept = late = refused = failed = 0
    slowest, unseen = 0.0, []
    for sample in run.samples:
        if sample.ok:
            met = target.met(sample)
            kept, late = kept + met, late + (not met)
        elif sample.status in TOLD_NO:
            refused += 1
            slowest = max(slowest, (e2e_of(sample) or _over(sample)))
        else:
            failed += 1
            if not any(_explains(each, sample, promise.recovery_s) for each in happening):
                before = [each.broke for each in happening if each.broke <= sample.sent]
                unseen.append(sample.sent - max(before) if before else float("inf"))
    return DayOf(len(run.samples), kept, late, refused, failed, slowest, tuple(unseen))


def _explains(incident: ServerLoss, sample: Sample, recovery: float) -> bool:
    return sample.sent <= incident.broke + recovery and (sample.end is None or sample.end >= incident.broke)


def _over(sample: Sample) -> float:
    return (sample.end or sample.sent) - sample.scheduled


def bins(run: Run, promise: Promise, length: float) -> list[list[Cell]]:
    """The day in `BINS` parts: second, and per second offered, admitted, shed, failed, kept."""
    target, wide = slo(promise), length / BINS
    counts = [[0] * 5 for _ in range(BINS)]
    for sample in run.samples:
        row = counts[min(BINS - 1, int(sample.scheduled / wide))]
        row[0] += 1
        if sample.status in TOLD_NO and not sample.ok:
            row[2] += 1
            continue
        row[1] += 1
        row[3] += not sample.ok
        row[4] += target.met(sample)
    return [[number * wide, *(count / wide for count in row)] for number, row in enumerate(counts)]
