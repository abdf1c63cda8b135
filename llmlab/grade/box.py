"""What the grader asks of wherever one step of a submission runs: a sandbox of this machine, or a pod's that is told again."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from ..checks.talk import Talk
from ..submissions.submission import Taken
from .cage import Allowance


class StepLimits(Protocol):
    """What stands round it."""

    def cpu_seconds(self) -> float:
        """CPU time of all that ran in it (0 where it is not counted)."""

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for going over the memory limit."""


class Box(Protocol):
    """One step of one submission, with a program in it that is given an order and tells what it saw."""

    @property
    def kind(self) -> str:
        """What holds it: "bubblewrap", "process group", "containers", "pod"."""

    @property
    def allowance(self) -> Allowance:
        """What it may use."""

    @property
    def cage(self) -> StepLimits:
        """What it used."""

    @property
    def course(self) -> Path:
        """The course's folder as what runs inside sees it."""

    @property
    def work(self) -> Path:
        """The scratch folder as what runs inside sees it."""

    @property
    def line(self) -> str:
        """What holds it, in words, for the result."""

    @property
    def outlived(self) -> list[str]:
        """What was still there after everything was killed."""

    @property
    def talk(self) -> Talk:
        """How the program in it is heard."""

    def popen(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `python ARGUMENTS` in it, with three pipes."""


class GradingPlace(Protocol):
    """Where submissions are graded."""

    def apart(self, *, containers: bool) -> bool:
        """Whether a notebook's cells run apart from what this lab deploys with."""

    def ready(self, taken: Taken) -> None:
        """Bring what a submission's boxes cannot bring themselves."""

    def notebook(
        self, lab: Path, allowance: Allowance, *, read: Sequence[Path], env: Mapping[str, str], label: str
    ) -> AbstractContextManager[Box]:
        """Where the learner's cells run."""

    def checks(
        self, lab: Path, allowance: Allowance, *, containers: bool, label: str
    ) -> AbstractContextManager[Box]:
        """Where what was handed in is deployed and checked."""
