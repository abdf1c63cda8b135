"""The cluster that a notebook holds, as what is shown of it needs it."""

from __future__ import annotations

from typing import Protocol

from ....show.bench import Bench
from ..cluster.cluster import Cluster


class Held(Protocol):
    """A lab, its cluster, and what was applied to it last."""

    lab: Bench
    cluster: Cluster

    def clear(self) -> None:
        """Remove what was applied."""
