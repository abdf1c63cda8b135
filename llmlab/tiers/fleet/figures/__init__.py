"""Figures of a planned fleet: its day, the servers that a load needs, what tokens cost, how well the simulator did; each from one table.

Nothing here simulates or asks: the tables come from a learner's notebook. How figures look is `llmlab.figures`' business.
"""

from __future__ import annotations

from .costs import costs
from .day import day
from .errors import errors
from .needed import needed

__all__ = ["costs", "day", "errors", "needed"]
