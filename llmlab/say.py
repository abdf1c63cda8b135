"""How work says what it is at: a function that takes a line."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[[str], None]


def quiet(_: str) -> None:
    """Says nothing."""
