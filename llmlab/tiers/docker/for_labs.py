"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from . import probes as image
from .container import Container, processes
from .cuda import judge
from .older import cpu, run_on_older_cpu

__all__ = ["Container", "cpu", "image", "judge", "processes", "run_on_older_cpu"]
