"""What `llmlab fetch` brings for the regions."""

from __future__ import annotations

from ...course.info import LabInfo
from ...say import Say
from ...tier import Need
from . import needs, programs


def regions(say: Say, lab: LabInfo | None) -> Need:
    """Bring PowerDNS, HAProxy and Toxiproxy: fetched (25 MB) or built once."""
    programs.bring(say)
    return needs.regions()
