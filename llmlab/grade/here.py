"""This machine as the place where submissions are graded: each step in a sandbox."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..submissions.submission import Taken
from .cage import Allowance
from .named_models import bring_models
from .sandbox import Sandbox, kind


class Here:
    """Sandboxes of this machine."""

    def apart(self, *, containers: bool) -> bool:
        """With the Docker daemon only where bubblewrap keeps that from the cells."""
        return not containers or kind() == "bubblewrap"

    def ready(self, taken: Taken) -> None:
        """Write the synthetic models that its files name, once: a sandbox has no room for a large one."""
        bring_models(taken.folder, taken.artifacts)

    def notebook(
        self, lab: Path, allowance: Allowance, *, read: Sequence[Path], env: Mapping[str, str], label: str
    ) -> Sandbox:
        """Where the learner's cells run."""
        return Sandbox(lab=lab, allowance=allowance, read=read, env=env, label=label)

    def checks(self, lab: Path, allowance: Allowance, *, containers: bool, label: str) -> Sandbox:
        """Where what was handed in is deployed and checked."""
        return Sandbox(lab=lab, allowance=allowance, containers=containers, label=label)
