"""The simulator held against the real replay of the same trace: the error of each figure, and which are too large."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ..errors import LabError
from ..records import stats
from ..records.schema import Cell, Record, Run, Table
from ..records.stats import SLO
from .outcome import Became, Forecast

WITHIN = 0.15  # of the real figure
AT = (50, 95, 99)

COLUMNS = {
    "servers": "behind the door",
    "figure": "what is compared",
    "unit": "of the figures",
    "real": "median of the rounds",
    "low": "lowest round",
    "high": "highest round",
    "rounds": "real replays",
    "simulated": "the same trace",
    "error": "simulated / real - 1",
    "beyond": f"whether it is more than {WITHIN:.0%} off",
    "noisy": "rounds in which others took much of the machine",
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One trace, replayed for real in each run of a record, and simulated."""

    servers: int
    record: Record
    simulated: Forecast


def held_against(pairs: Sequence[Pair], slo: SLO) -> Table:
    """TTFT and E2E at p50, p95 and p99, and goodput, of real and simulated replays: one row a figure.

    Latencies count from when a request was due. A real percentile is the median of the rounds', with the lowest and the highest beside
    it; where a round has too few requests for it (`stats.percentile`) it is null, and so is its error. Failed
    requests have no latency and no goodput, here as there.

    :param pairs: for each number of servers.
    :raises LabError: when a record is of another trace than the simulation, or nothing is there to compare.
    """
    if not pairs or not all(pair.record.runs for pair in pairs):
        raise LabError("There is no replay to compare with.", fix="measure(target, [plan(trace)], repeats=3)")
    rows: list[list[Cell]] = []
    for pair in pairs:
        for run in pair.record.runs:
            _same(run, pair)
        for name, real, simulated in (
            ("TTFT", _ttft, pair.simulated.ttft_s),
            ("E2E", _e2e, pair.simulated.e2e_s),
        ):
            served = simulated[pair.simulated.status == Became.SERVED]
            for p in AT:
                rounds = [stats.percentile(real(run), p) for run in pair.record.runs]
                expected = float(np.percentile(served, p)) if len(served) else None
                rows.append(_row(pair, f"{name} p{p}", "s", rounds, expected))
        each = [stats.goodput(run, slo).requests_per_second for run in pair.record.runs]
        rows.append(
            _row(pair, "goodput", "requests/s", each, pair.simulated.goodput(slo).requests_per_second)
        )
    first = pairs[0].record
    return Table(
        kind="held against",
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        machine=first.machine,
        columns=COLUMNS,
        rows=rows,
        versions=first.versions,
        lab=first.lab,
        seed=first.seed,
        note=f"SLO of the goodput: {slo}",
    )


def beyond(table: Table) -> list[str]:
    """What a figure has to say: each figure that is too far off, e.g. `3 servers, TTFT p99: +22 %`; and what could not be compared."""
    found = []
    for row in table.dicts():
        about = f"{row['servers']} server{'s' if row['servers'] != 1 else ''}, {row['figure']}"
        if row["error"] is None:
            found.append(f"{about}: cannot be compared")
        elif row["beyond"]:
            found.append(f"{about}: {row['error']:+.0%}".replace("%", " %"))
    return found


def _ttft(run: Run) -> stats.Array:
    return stats.ttft(run, "scheduled")


def _e2e(run: Run) -> stats.Array:
    return stats.e2e(run, "scheduled")


def _row(
    pair: Pair, figure: str, unit: str, rounds: Sequence[float | None], simulated: float | None
) -> list[Cell]:
    known = [value for value in rounds if value is not None]
    real = float(np.median(known)) if known else None
    error = simulated / real - 1 if real and simulated is not None else None
    return [
        pair.servers,
        figure,
        unit,
        real,
        min(known, default=None),
        max(known, default=None),
        len(rounds),
        simulated,
        error,
        None if error is None else abs(error) > WITHIN,
        sum(run.noise.noisy for run in pair.record.runs),
    ]


def _same(run: Run, pair: Pair) -> None:
    """Refuse a replay of something else."""
    trace, plan = pair.simulated.trace, run.plan
    columns: tuple[tuple[list[float] | list[int] | None, np.ndarray], ...] = (
        (plan.offsets, trace.arrival_s),
        (plan.each_prompt, trace.prompt_tokens),
        (plan.each_reply, trace.output_tokens),
    )
    if not all(sent is not None and np.array_equal(sent, column) for sent, column in columns):
        raise LabError(
            f"The record with {pair.servers} servers is of another trace than the simulation.",
            fix="simulate the trace that was replayed: plan(trace) and simulate(trace, …)",
        )
