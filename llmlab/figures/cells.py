"""What figures of tables read in the same way: a table's rows, its cells, and the last sentences of a caption."""

from __future__ import annotations

from typing import Any

from ..errors import LabError
from ..records.schema import Table


def rows_of(table: Table, kind: str, lacking: str) -> list[dict[str, Any]]:
    """The rows of a table of this kind.

    :param lacking: what is missing if there are none, as the rest of a sentence.
    :raises LabError: when there is no row, or the table is of another kind.
    """
    rows: list[dict[str, Any]] = list(table.dicts()) if table.kind == kind else []
    if not rows:
        raise LabError(f"Nothing to draw: {lacking}.")
    return rows


def number(value: object) -> float:
    """A cell as a number; 0 where it is none."""
    return float(value) if isinstance(value, int | float) else 0.0


def setting(table: Table) -> str:
    """Machine and versions; realism and note where there is something to say."""
    versions = ", ".join(f"{name} {version}" for name, version in table.versions.items())
    said = [f"{table.machine.line} ({table.machine.profile})" + (f", {versions}." if versions else ".")]
    if table.realism != "real":
        said.append(f"Realism: {table.realism}.")
    if table.note:
        said.append(table.note.rstrip(".") + ".")
    return " ".join(said)
