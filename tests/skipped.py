"""The closing list of what was skipped: one line a need, with the count, why, and the one command that brings it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from llmlab import doctor

COMMAND = re.compile(r"\. (?:Bring it|Again): ")


def reason_of(report: Any) -> str:
    """Why a test was skipped; a report that came from another worker has a list where ours has a tuple."""
    found = report.longrepr
    said = found[2] if isinstance(found, (tuple, list)) else str(found)
    return said.removeprefix("Skipped: ").removesuffix(".")


def need_of(reason: str) -> str:
    """What is to be brought: a need of the doctor's, else what the command brings, else the reason itself."""
    name, colon, _ = reason.partition(": ")
    if colon and name in doctor.needs():
        return name
    return COMMAND.split(reason)[-1]


def lines(reports: Iterable[Any]) -> list[str]:
    """The list, most tests first."""
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for report in reports:
        reason = reason_of(report)
        need = need_of(reason)
        counts[need] += 1
        reasons[need] = min(reason, reasons.get(need, reason))  # whichever worker was first
    order = sorted(counts, key=lambda need: (-counts[need], reasons[need]))
    return [f"{counts[need]:4} × {reasons[need]}" for need in order]
