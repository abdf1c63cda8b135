"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .dashboards import filled, panels, read_dashboard
from .furnish import MODEL, furnish
from .probes import CLEAN, Fleet, opens, served, wait
from .project import Project, service_of

__all__ = [
    "CLEAN",
    "MODEL",
    "Fleet",
    "Project",
    "filled",
    "furnish",
    "opens",
    "panels",
    "read_dashboard",
    "served",
    "service_of",
    "wait",
]
