"""Figures of a front door: a burst at the door, what the door adds to the way, and a canary's share; each is drawn from one table.

Nothing here measures or asks: the tables come from a learner's notebook. How figures look is `llmlab.figures`' business.
"""

from __future__ import annotations

from .burst import burst
from .canary import canary
from .ways import ways

__all__ = ["burst", "canary", "ways"]
