"""What a learner has reached in each lab, kept as a record: so that whoever has the submission has it too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..course.info import LabInfo, all_labs
from ..course.progress import read_json, work_folder
from ..records.schema import Cell, Table
from ..show.bench import Bench
from ..show.kept import keep

KIND = "progress"
COLUMNS = {
    "lab": "its folder",
    "title": "of the lab",
    "points": "the most that a complete check gave; empty: none was made",
    "of": "points there are",
    "checked": "the last complete check, UTC",
}


def keep_points(bench: Bench) -> tuple[Table, Path]:
    """Write the points of every lab of the course down, as the checks on this machine gave them; the table and its file.

    :raises LabError: when it cannot be written.
    """
    course = bench.info.folder.parent.parent
    rows = [
        _row(info, bench.files if info.name == bench.info.name else info.folder) for info in all_labs(course)
    ]
    return keep(bench, KIND, COLUMNS, rows)


def _row(info: LabInfo, files: Path) -> list[Cell]:
    state: dict[str, Any] = read_json(work_folder(files) / "progress.json")
    best, checked = state.get("best"), state.get("checked")
    return [
        info.name,
        info.title,
        float(best) if isinstance(best, int | float) else None,
        float(info.points),
        checked if isinstance(checked, str) else None,
    ]


def points_in(table: Table | None) -> Sequence[dict[str, Cell]]:
    """The rows of such a table; none where it is another, or was edited into none."""
    return table.dicts() if table is not None and list(table.columns) == list(COLUMNS) else ()
