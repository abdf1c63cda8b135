"""What a check is, what it returns, and the process of its own in which checks run.

A check deploys the learner's files and probes what runs; it never reads files to see whether they look right.
Which checks a lab has lives in `labs/NN-slug/checks.py`, and in the parts beside it that it names.
"""

from . import leaks
from .check import Check, Context, DeploymentFailed, Verdict, check, failed, inconclusive, passed, verdict
from .fixture import fixture
from .parts import load_checks
from .result import Evidence, Outcome, Result
from .run import run

__all__ = [
    "Check",
    "Context",
    "DeploymentFailed",
    "Evidence",
    "Outcome",
    "Result",
    "Verdict",
    "check",
    "failed",
    "fixture",
    "inconclusive",
    "leaks",
    "load_checks",
    "passed",
    "run",
    "verdict",
]
