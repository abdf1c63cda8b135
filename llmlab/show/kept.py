"""What was measured or counted in a lab, saved beside it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

from ..course import journal
from ..records.schema import Cell, Record, Table
from .bench import Bench


def keep(
    lab: Bench,
    kind: str,
    columns: dict[str, str],
    rows: list[list[Cell]],
    *,
    note: str = "",
    **version: str,
) -> tuple[Table, Path]:
    """A table of what was counted in a lab, saved beside it; `version`: of what measured it (default: of ours)."""
    from .. import machine
    from ..load.run import versions

    table = Table(
        kind=kind,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        machine=machine.describe(),
        columns=columns,
        rows=rows,
        versions=version or versions(),
        lab=lab.info.name,
        seed=lab.seed,
        note=note or None,
    )
    return table, store(table, lab.files / "records")


def store(record: Record | Table, folder: Path) -> Path:
    """Save a record under a name that says when and what."""
    from ..records.store import write

    stamp = re.sub(r"[^0-9T]", "", datetime.now(UTC).isoformat(timespec="milliseconds")[:-6])
    path = folder / f"{stamp}-{record.kind}.json"
    write(record, path)
    journal.note(
        folder.parent, record.kind, done=f"measured: {record.kind}", observed=_seen(record), record=path.name
    )
    return path


def _seen(record: Record | Table) -> str:
    """What was measured, in a few words."""
    from ..records import stats

    if isinstance(record, Table):
        return f"{len(record.rows)} rows"
    failed = sum(len(stats.failed(run)) for run in record.runs)
    speeds = [stats.tokens_per_second(run) for run in record.runs]
    return f"{len(record.runs)} runs, at most {max(speeds, default=0):.0f} tokens/s, {failed} requests failed"
