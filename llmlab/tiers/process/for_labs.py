"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .claims import judge_knee, own_knee
from .offload import offload
from .probes import compare_speed, fastest, listens_beyond_loopback, queue_share
from .recorded import recorded

__all__ = [
    "compare_speed",
    "fastest",
    "judge_knee",
    "listens_beyond_loopback",
    "offload",
    "own_knee",
    "queue_share",
    "recorded",
]
