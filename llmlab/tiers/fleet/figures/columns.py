"""What the four figures read in the same way: the rows of a table that has their columns, and axes in powers of ten."""

from __future__ import annotations

from typing import Any

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from ....errors import LabError
from ....records.schema import Table


def rows_with(table: Table, names: str, lacking: str) -> list[dict[str, Any]]:
    """The rows.

    :param names: the columns that the figure reads, in one line of words.
    :param lacking: what is missing if there are none, as the rest of a sentence.
    :raises LabError: when there is no row, or a column is missing.
    """
    missing = [name for name in names.split() if name not in table.columns]
    if missing or not table.rows:
        raise LabError(f"Nothing to draw: {'no column ' + missing[0] if missing else lacking}.")
    return list(table.dicts())


def decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2 and 5 of each power of ten, in plain numbers."""
    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
