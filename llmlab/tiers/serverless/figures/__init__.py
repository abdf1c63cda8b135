"""Figures of containers without servers: what a cold start is made of, a burst from zero, and what it all costs; each from one table.

Nothing here measures or asks: the tables come from a learner's notebook. How figures look is `llmlab.figures`' business.
"""

from __future__ import annotations

from .burst import burst
from .cold_starts import cold_starts
from .costs import costs

__all__ = ["burst", "cold_starts", "costs"]
