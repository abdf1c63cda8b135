"""What real servers have carried: the records of `fleet.compare()` as points of the figure of servers needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...capacity.plan import Promise
from ...errors import LabError
from ...records import store
from ...records.schema import Table

SHARES = (0.9, 0.95, 0.99)  # of the requests kept: three promises
KIND = "largest"  # of such a record


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredPoint:
    """How many servers a load needed, when it was tried."""

    share: float  # of the requests, for which the promise was kept
    load: float  # in servers that are always busy
    servers: int  # one of them spare
    low: float  # a load with which it was kept
    high: float  # and one with which it was not


def measured_points(folder: Path, promise: Promise) -> list[MeasuredPoint]:
    """Of the newest comparison with this promise: share, load, servers that are needed for it, and between which loads it lies.

    So many servers carried the busiest hour of the day, so with one of them spare one more is needed. Where the promise was kept on
    every stair there is no upper end, and no point.

    :param folder: of the records.
    """
    for path in sorted(folder.glob(f"*-{KIND}.json"), reverse=True):
        try:
            found = store.read_any(path)
        except LabError:
            continue
        if isinstance(found, Table) and found.kind == KIND:
            rows = [
                row
                for row in found.dicts()
                if (row["ttft_s"], row["e2e_s"]) == (promise.ttft_s, promise.e2e_s)
            ]
            if rows:
                return [
                    MeasuredPoint(
                        share=float(row["share"] or 0),
                        load=float(row["load"] or 0),
                        servers=int(row["servers"] or 0) + 1,
                        low=float(row["low"] or 0),
                        high=float(row["high"]),
                    )
                    for row in rows
                    if row["high"] is not None
                ]
    return []
