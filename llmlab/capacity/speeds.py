"""How fast one server is."""

from __future__ import annotations

from msgspec import Struct


class Speeds(Struct, frozen=True):
    """What one server takes for its work, as `calibrate` finds it in records."""

    prefill: float  # prompt tokens per second of one server, which does prefill one prompt after another
    step: tuple[float, ...]  # seconds of one decode step with 1, 2, ... slots generating (len = slots)
    overhead: float = 0.0  # seconds added to each request before prefill
