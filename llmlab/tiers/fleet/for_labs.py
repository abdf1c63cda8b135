"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .calibrated import speeds_for, speeds_now
from .fleet import PlannedFleet
from .forecasts import far, leaving_home
from .probes import day_of
from .replay import incidents, replay, seconds, the_day

__all__ = [
    "PlannedFleet",
    "day_of",
    "far",
    "incidents",
    "leaving_home",
    "replay",
    "seconds",
    "speeds_for",
    "speeds_now",
    "the_day",
]
