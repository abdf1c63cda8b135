"""What `llmlab fetch` brings for the edge."""

from __future__ import annotations

from ...course.info import LabInfo
from ...say import Say
from ...tier import Need
from . import needs, workerd


def edge(say: Say, lab: LabInfo | None) -> Need:
    """Bring workerd, the runtime of Cloudflare Workers: fetched once with npm (47 MB)."""
    workerd.bring(say)
    return needs.edge()
