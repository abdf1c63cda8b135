"""What `llmlab fetch` brings for Terraform."""

from __future__ import annotations

from ...course.info import LabInfo
from ...say import Say
from ...tier import Need
from . import mirror, needs


def terraform(say: Say, lab: LabInfo | None) -> Need:
    """Bring the AWS provider, from a mirror that this machine has or fetched once (130 MB)."""
    mirror.bring(say)
    return needs.terraform()
