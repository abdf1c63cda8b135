"""What a method of a notebook's object gives back: lines, a table, lines with a figure, or why there is nothing to show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LabError
from ..plain import plain
from ..records.schema import Cell, Table

if TYPE_CHECKING:
    from ..figures import Picture

T = TypeVar("T")


class Said:
    """What a tool said, as lines.

    :param values: figures of the same, by name, for `lab.compare`.
    """

    def __init__(self, lines: Sequence[str], values: Mapping[str, Cell] | None = None) -> None:
        self.lines = list(lines)  # what was said
        self._values = dict(values or {})

    def value(self, name: str) -> Cell:
        """A figure of it by its name; None where nothing of that name was measured."""
        return self._values.get(name)

    def __repr__(self) -> str:
        return "\n".join(self.lines)


class Shown:
    """Rows of three columns with a few lines below them.

    :param rows: the cells, as text.
    :param notes: the lines below.
    :param heads: what the columns are called.
    :param drawing: HTML between the two.
    :param values: figures of the same, by name, for `lab.compare`.
    """

    def __init__(
        self,
        rows: list[tuple[str, str, str]],
        notes: list[str],
        heads: tuple[str, str, str] = ("", "the file says", "what runs"),
        *,
        drawing: str = "",
        values: Mapping[str, Cell] | None = None,
    ) -> None:
        self.rows, self.notes, self.heads, self.drawing = rows, notes, heads, drawing
        self._values = dict(values or {})

    def value(self, name: str) -> Cell:
        """A figure of it by its name; None where nothing of that name was measured."""
        return self._values.get(name)

    def __repr__(self) -> str:
        wide = max(len(row[0]) for row in self.rows) if self.rows else 0
        middle = max((len(row[1]) for row in self.rows), default=0)
        lines = [f"{a:<{wide}}  {b:<{middle}}  {c}" for a, b, c in self.rows]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        body = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{plain(cell)}</td>' for cell in row) + "</tr>"
            for row in self.rows
        )
        # A column without a name has no heading: a screen reader would stop at an empty one.
        named = (f'<th style="text-align:left">{name}</th>' if name else "<td></td>" for name in self.heads)
        head = f"<tr>{''.join(named)}</tr>"
        notes = "".join(f"<p>{plain(note)}</p>" for note in self.notes)
        return f"<table>{head}{body}</table>{self.drawing}{notes}"


class Drawn:
    """Lines, and a figure of the same.

    :param table: what `plot()` draws.
    :param lines: what it says as text.
    :param values: figures of the same, by name, for `lab.compare`.
    """

    def __init__(
        self,
        table: Table,
        draw: Callable[..., Picture],
        lines: Sequence[str],
        values: Mapping[str, Cell] | None = None,
    ) -> None:
        self.table, self._draw, self.lines = table, draw, list(lines)
        self._values = dict(values or {})

    def value(self, name: str) -> Cell:
        """A figure of it by its name; None where it could not be measured.

        :raises KeyError: when it has none of that name.
        """
        return self._values[name]

    def plot(self, **options: Any) -> Picture:
        """The figure; some take `guess=lab.guess("name")` and mark it."""
        return self._draw(self.table, **options)

    def __repr__(self) -> str:
        return "\n".join(self.lines)


class NothingToShow(Said):
    """Why there is nothing to show. Whatever is asked of it says the same, so that the cells after it still run."""

    def __getattr__(self, name: str) -> Callable[..., NothingToShow]:
        if name.startswith("_"):  # what Jupyter and copy look for
            raise AttributeError(name)
        return lambda *_, **__: self


def shown(method: Callable[..., T]) -> Callable[..., T | NothingToShow]:
    """A LabError becomes what is shown."""

    @functools.wraps(method)
    def quiet(*args: Any, **more: Any) -> T | NothingToShow:
        try:
            return method(*args, **more)
        except LabError as error:
            return NothingToShow(error.lines())

    quiet.shows = True  # type: ignore[attr-defined]
    return quiet
