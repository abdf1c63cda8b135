"""Starts on several platforms in one table."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ....show.kept import keep
from ....show.shown import Drawn
from .. import figures, starts

if TYPE_CHECKING:
    from ....records.schema import Cell
    from ....show.bench import Bench


def together(lab: Bench, rows: list[list[Cell]], beside: Sequence[Drawn] = (), **version: str) -> Drawn:
    """A table of starts, saved, with those of other platforms before them; its lines are each platform's totals, in seconds, and its
    values their medians.
    """
    before = [
        list(row.values()) for drawn in beside if isinstance(drawn, Drawn) for row in drawn.table.dicts()
    ]
    table, _ = keep(lab, "cold_starts", starts.STARTS, [*before, *rows], **version)
    totals: dict[str, dict[object, float]] = {}
    for row in table.dicts():
        tries = totals.setdefault(str(row["platform"]), {})
        tries[row["try"]] = tries.get(row["try"], 0.0) + float(str(row["seconds"]))
    lines = [
        f"{platform}, from nothing to the first token: {', '.join(f'{total:.2f} s' for total in tries.values())}"
        for platform, tries in totals.items()
    ]
    medians: dict[str, Cell] = {
        platform: statistics.median(tries.values()) for platform, tries in totals.items()
    }
    return Drawn(table, figures.cold_starts, lines, medians)
