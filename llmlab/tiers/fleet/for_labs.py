"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .fleet import Fleet
from .planned import far, leaving_home, speeds_for, speeds_now
from .probes import day_of
from .replay import incidents, replay, seconds, the_day

__all__ = [
    "Fleet",
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
