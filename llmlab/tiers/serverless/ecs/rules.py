"""What Fargate refuses of a task definition when it is registered: one rule each, with AWS's words where they are known.

Sources, as the rules name them: `doc` is the ECS developer guide's pages on Fargate tasks and the API reference (as botocore carries
it); `seen` are words that others got from the service itself: error messages in public issues, badmintoncryer/cdk-preflight (probed
rules), probes of August 2026. Where neither gives the words they are ours, and the rule says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import container_rules, task_rules
from .definition import Place, TaskDefinition
from .rule import RULES, FargateRule

assert container_rules, task_rules  # read here: they fill RULES


@dataclass(frozen=True, slots=True)
class FargateRefusal:
    """What is refused: by which rule, in which words, at which place of the document."""

    rule: FargateRule
    words: str
    place: Place

    def said(self, definition: TaskDefinition) -> str:
        """As a line: file and line, then the words."""
        return f"{definition.where(self.place)}: {self.words}"


_COMPATIBLE: Place = ("requiresCompatibilities",)
_LAUNCH = FargateRule("launch-type", "seen (UpdateService, RunTask)", lambda _: iter(()))


def refusals(document: dict[str, Any]) -> list[FargateRefusal]:
    """All that Fargate refuses of a document whose shape is right (`TaskDefinition.problems` found nothing).

    The service names one at a time; here they come together. A definition that is refused and does not ask for FARGATE would be
    registered, for EC2, and refused when it is run: that is then said first.
    """
    found = [FargateRefusal(it, words, place) for it in RULES for words, place in it.find(document)]
    if found and "FARGATE" not in (document.get("requiresCompatibilities") or ()):
        found.insert(
            0, FargateRefusal(_LAUNCH, "Task definition does not support launch_type FARGATE.", _COMPATIBLE)
        )
    return found
