"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from . import probes as seen
from .globe import Globe
from .routing import Routing
from .users import RegionalUsers

__all__ = ["Globe", "RegionalUsers", "Routing", "seen"]
