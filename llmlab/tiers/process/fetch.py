"""What `llmlab fetch` brings for a server as a process: a native engine, models."""

from __future__ import annotations

from ...course.info import LabInfo
from ...say import Say
from ...tier import Need
from . import needs

MODELS = ("tiny", "20m")


def binary(say: Say, lab: LabInfo | None) -> Need:
    """Build a native llama-server (a C++ compiler, ten CPU-minutes)."""
    from ... import engine

    found = needs.binary()
    if found.met:
        return found
    engine.build(say=say)
    return needs.binary()


def models(say: Say, lab: LabInfo | None) -> Need:
    """Write the small synthetic models that every lab begins with."""
    from ... import models

    for name in MODELS:
        models.fetch(name, say=say)
    return Need("models", True, ", ".join(MODELS))
