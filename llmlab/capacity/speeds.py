"""How quick one server is."""

from __future__ import annotations

import math

from msgspec import Struct

from ..errors import LabError


class Speeds(Struct, frozen=True, forbid_unknown_fields=True):
    """The speeds of one llama-server; `len(step)` is the number of its slots.

    :raises LabError: for a speed that is not above 0, or no slot.
    """

    prefill: float  # prompt tokens per second of one server, which does prefill one prompt after another; inf: at once
    step: tuple[float, ...]  # seconds of one decode step with 1, 2, … slots generating
    overhead: float = 0.0  # seconds added to each request before prefill (HTTP, tokenizing, door)
    attend: float = (
        0.0  # seconds a decode step takes longer for each token of context in the slots that generate
    )
    square: float = 0.0  # seconds that prefill takes longer for each squared token of a prompt

    def __post_init__(self) -> None:
        if not self.step or not all(0 < each < math.inf for each in self.step):
            raise LabError(f"step must have a time above 0 s for each number of slots, not {self.step}.")
        if not self.prefill > 0:
            raise LabError(f"prefill must be above 0 tokens per second, not {self.prefill}.")
        for name in ("overhead", "attend", "square"):
            if not 0 <= getattr(self, name) < math.inf:
                raise LabError(f"{name} must be 0 s or more, not {getattr(self, name)}.")

    @property
    def slots(self) -> int:
        """How many requests one server generates for at once."""
        return len(self.step)
