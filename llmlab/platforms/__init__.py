"""Where a deployment runs: containers, clusters, clouds, regions; peers that know no other.

Each brings up what the learner's files describe, says at which address it answers and takes it down again
(`Deployment`). Nothing here probes, grades or shows.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["Deployment"]


class Deployment(Protocol):
    """Something that runs, with an address; owned from before it is made until it is down."""

    def up(self) -> None:
        """Bring it up, or leave nothing behind and raise `LabError` with the last lines of the real tool."""

    @property
    def address(self) -> str:
        """Where it answers, e.g. http://127.0.0.1:8080."""

    def down(self) -> None:
        """Take it down with everything that belongs to it; may be called twice."""
