"""What a method of a notebook's object gives back: lines with a figure, or why there is nothing to show."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import LabError
from ..records.schema import Table
from .counted import Said

if TYPE_CHECKING:
    from ..figures import Picture

T = TypeVar("T")


class Drawn:
    """Lines, and a figure of the same."""

    def __init__(self, table: Table, draw: Callable[[Table], Picture], lines: Sequence[str]) -> None:
        self.table, self._draw, self.lines = table, draw, list(lines)

    def plot(self) -> Picture:
        """The figure."""
        return self._draw(self.table)

    def __repr__(self) -> str:
        return "\n".join(self.lines)


class Refused(Said):
    """Why there is nothing to show. Whatever is asked of it says the same, so that the cells after it still run."""

    def __getattr__(self, name: str) -> Callable[..., Refused]:
        if name.startswith("_"):  # what Jupyter and copy look for
            raise AttributeError(name)
        return lambda *_, **__: self


def shown(method: Callable[..., T]) -> Callable[..., T | Refused]:
    """A LabError becomes what is shown."""

    @functools.wraps(method)
    def quiet(*args: Any, **more: Any) -> T | Refused:
        try:
            return method(*args, **more)
        except LabError as error:
            return Refused(error.lines())

    return quiet
