"""What a lab needs and this machine has not: said where the lab is opened, and before its checks begin."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .. import doctor
from ..errors import LabError
from ..plain import plain
from ..tier import Need

if TYPE_CHECKING:
    from ..checks import Check
    from ..course.info import LabInfo

#: Need → how long its command takes, roughly, on two cores; as README has it.
TAKES = {
    "process": "a minute",
    "binary": "ten minutes",
    "docker": "five minutes",
    "images": "a minute or two",
    "kubernetes": "half an hour, once",
    "pods": "half an hour, once",
    "terraform": "a minute",
    "node": "a minute",
    "edge": "a minute",
    "regions": "a minute or two",
    "compiler": "a minute",
    "sandbox": "a minute",
}


def missing(info: LabInfo) -> list[Need]:
    """The needs of a lab that are not met here; none while a grader runs its notebook, which deploys nothing."""
    if os.environ.get("LLMLAB_GRADING"):
        return []
    return [need for need in map(doctor.need, info.needs) if not need.met]


def said(info: LabInfo) -> list[str]:
    """A line for each missing need: what, the one command that brings it, how long that takes. No line where all is here."""
    return [_line(need) for need in missing(info)]


def missing_html(info: LabInfo) -> str:
    """The same for a page; empty where all is here."""
    rows = "".join(
        f"<li>{plain(need.name)}: {plain(need.detail)}. "
        f"Bring it: <code>{html.escape(need.command)}</code>{html.escape(_time(need))}</li>"
        for need in missing(info)
    )
    return (
        f"<p><b>Missing on this machine</b>, so not all of this lab can run:</p><ul>{rows}</ul>"
        if rows
        else ""
    )


def refuse(info: LabInfo) -> None:
    """Before the checks of a lab: nothing to say where at least one of them can run.

    :raises LabError: when each of them lacks something, with what brings it.
    """
    from ..checks import load_checks

    if os.environ.get("LLMLAB_GRADING"):
        return
    checks = load_checks(info.folder)
    lacking = {need.name: need for need in missing(info)}
    for name in {name for check in checks for name in check.machine}:
        need = doctor.need(name)
        if not need.met:
            lacking[name] = need
    if lacking and checks and all(_blocked(check, checks, lacking) for check in checks):
        raise LabError(
            "No check of this lab can run here. Missing: "
            + ", ".join(f"{need.name} ({need.detail})" for need in lacking.values()),
            fix="; ".join(dict.fromkeys(need.command + _time(need) for need in lacking.values())),
            without=f"read lab {info.number} without running it; `llmlab labs` lists those that can run here",
        )


def _blocked(check: Check, checks: Sequence[Check], lacking: dict[str, Need]) -> bool:
    """Whether it, or a check that must pass before it, says that it needs what is missing; where none says so, all need it."""
    if not any(other.machine for other in checks):
        return True
    before = [other for other in checks if other.name in check.needs]
    return bool(lacking.keys() & set(check.machine)) or any(
        _blocked(other, checks, lacking) for other in before
    )


def _time(need: Need) -> str:
    """How long that takes, and what the doctor remarks on it."""
    words = [need.remark] if need.remark else []
    words += [f"about {TAKES[need.name]}"] if need.name in TAKES else []
    return f" ({', '.join(words)})" if words else ""


def _line(need: Need) -> str:
    return f"Missing: {need.name} ({need.detail}). Bring it: {need.command}{_time(need)}"
