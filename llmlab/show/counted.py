"""What was counted of a running project, as a notebook shows it: shares, panels, what a tool said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..records.schema import Table

if TYPE_CHECKING:
    from ..figures import Picture


class Said:
    """What a tool said, as lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = list(lines)

    def __repr__(self) -> str:
        return "\n".join(self.lines)


class Shares:
    """Requests and cache hits by replica and policy."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def plot(self) -> Picture:
        """Share and hit rate of each replica."""
        from ..tiers.compose.figures.shares import shares

        return shares(self.table)

    def __repr__(self) -> str:
        lines = []
        for policy in dict.fromkeys(self.table.column("policy")):
            own = [row for row in self.table.dicts() if row["policy"] == policy]
            cached = sum(int(row["cached_tokens"] or 0) for row in own)
            prompt = sum(int(row["prompt_tokens"] or 0) for row in own) + cached
            counts = ", ".join(str(row["requests"]) for row in own)
            lines.append(
                f"{policy}: {counts} requests by replica; {cached / max(1, prompt):.0%} of prompt tokens from the cache"
            )
        return "\n".join(lines)


class Panels:
    """What the dashboard's queries gave."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def plot(self) -> Picture:
        """Its panels."""
        from ..tiers.compose.figures.panels import panels

        return panels(self.table)

    def __repr__(self) -> str:
        empty = [str(row["panel"]) for row in self.table.dicts() if row["value"] is None]
        names = list(dict.fromkeys(map(str, self.table.column("panel"))))
        return "\n".join(f"{name}: {'no data' if name in empty else 'data'}" for name in names)
