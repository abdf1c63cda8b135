"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from . import machine as systemd
from . import probes as units
from . import quadlets, unit_files
from .machine import HOME, SystemdMachine
from .probes import Site

__all__ = ["HOME", "Site", "SystemdMachine", "quadlets", "systemd", "unit_files", "units"]
