"""PLACEHOLDER."""

from __future__ import annotations

from typing import Any


class LiveProject:
    """To come."""

    def __init__(self, lab: Any, *args: Any, **options: Any) -> None: ...

    def close(self) -> None:
        """End it."""
