"""What a learner says was measured, measured again: is it so, is it not, or can this machine not tell just now?"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import numpy as np

from ...records import stats
from ...records.schema import Record

WAITS, NOBODY = 0.5, 0.2  # share of looks: above the first somebody waits, below the second nobody does
CLEAR = 0.1  # this far beyond both, one round is enough


@dataclass(frozen=True, slots=True)
class Knee:
    """What a re-measurement of "with N nobody waits, with N + 1 somebody does" came to.

    `verdict`: "passed", "failed" or "inconclusive". `at`, `above`: (low, median, high) of the share of looks in which a
    request waited, with 90 % bootstrap intervals over the rounds. `rounds`: how often it was measured.
    """

    verdict: str
    at: tuple[float, float, float]
    above: tuple[float, float, float]
    rounds: int


def interval(values: Sequence[float], *, seed: int = 0, draws: int = 2000) -> tuple[float, float, float]:
    """Median with its 90 % bootstrap percentile interval (Efron, 1979): (low, median, high); one value is its own."""
    data = list(values)
    draw = random.Random(seed)
    medians = sorted(float(np.median(draw.choices(data, k=len(data)))) for _ in range(draws))
    return medians[int(0.05 * draws)], float(np.median(data)), medians[int(0.95 * draws) - 1]


def judge_knee(
    learner: Callable[[], tuple[float, float]],
    reference: Callable[[], tuple[float, float]],
    *,
    seed: int = 0,
    budget: int = 6,
    say: Callable[[str], None] = lambda _: None,
) -> Knee:
    """Measure a claimed knee until it can be told, at most `budget` rounds.

    :param learner: one round: the share of looks with somebody waiting, at N and at N + 1.
    :param reference: the same of a server whose knee is known to be there, asked in turn with the learner's as soon as
        one round does not settle it: a round in which not even that one shows its knee says nothing and is left out.
    """
    rounds: list[tuple[float, float]] = []
    for turn in range(budget):
        found = learner()
        say(f"waiting in {found[0]:.0%} and {found[1]:.0%} of samples")
        if turn == 0 and (_plainly_right(found) or _plainly_wrong(found)):
            rounds.append(found)
            break
        control = reference()
        if control[0] < NOBODY and control[1] > WAITS:
            rounds.append(found)
        if len(rounds) >= 3 and _told(rounds, seed) is not None:
            break
    if not rounds:
        return Knee("inconclusive", (0.0, 0.0, 1.0), (0.0, 0.0, 1.0), 0)
    told = _told(rounds, seed)
    at, above = (interval([pair[n] for pair in rounds], seed=seed) for n in (0, 1))
    return Knee({True: "passed", False: "failed", None: "inconclusive"}[told], at, above, len(rounds))


def _plainly_right(found: tuple[float, float]) -> bool:
    return found[0] < NOBODY - CLEAR and found[1] > WAITS + CLEAR


def _plainly_wrong(found: tuple[float, float]) -> bool:
    return found[0] > WAITS + CLEAR or found[1] < NOBODY - CLEAR


def _told(rounds: Sequence[tuple[float, float]], seed: int) -> bool | None:
    at, above = (interval([pair[n] for pair in rounds], seed=seed) for n in (0, 1))
    if at[2] < NOBODY and above[0] > WAITS:
        return True
    if at[0] >= NOBODY or above[2] <= WAITS:
        return False
    return None


def own_knee(records: Sequence[Record]) -> int | None:
    """The last concurrency at which nobody waited for a slot, in the learner's newest closed-loop sweep.

    Somebody waited where the first token took longer than a quarter of the median reply: a queue moves when a reply
    ends, prefill is quicker. None when no sweep of three points or more shows both sides.
    """
    for record in reversed(records):
        waited: dict[int, list[bool]] = {}
        for run in record.runs:
            reply = stats.percentile(stats.e2e(run), 50)
            if run.plan.pattern == "closed" and run.plan.concurrency and reply:
                waited.setdefault(run.plan.concurrency, []).extend(
                    wait > reply / 4 for wait in stats.ttft(run)
                )
        points = [(streams, sum(looks) / len(looks)) for streams, looks in sorted(waited.items())]
        if len(points) < 3:
            continue
        calm = list(takewhile(lambda point: point[1] < NOBODY, points))
        return calm[-1][0] if calm and len(calm) < len(points) else None
    return None
