"""Load on a server: arrivals, a streaming client in a process of its own, and the record of what it saw.

What the numbers mean (percentiles, goodput) is in `llmlab.records.stats`; which server to measure, in
`llmlab.serve`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..records.stats import SLO
    from .arrivals import closed, constant, describe, poisson, schedule, sessions, trace
    from .run import measure
    from .target import Progress, Target

# On first use: the worker imports this package too, and must stay light.
_HOME = {
    "SLO": "llmlab.records.stats",
    "Progress": "llmlab.load.target",
    "Target": "llmlab.load.target",
    "closed": "llmlab.load.arrivals",
    "constant": "llmlab.load.arrivals",
    "describe": "llmlab.load.arrivals",
    "measure": "llmlab.load.run",
    "poisson": "llmlab.load.arrivals",
    "schedule": "llmlab.load.arrivals",
    "sessions": "llmlab.load.arrivals",
    "trace": "llmlab.load.arrivals",
}

__all__ = [
    "SLO", "Progress", "Target", "closed", "constant", "describe", "measure", "poisson", "schedule", "sessions",
    "trace",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'llmlab.load' has no attribute {name!r}")
