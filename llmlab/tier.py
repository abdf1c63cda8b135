"""What each tier needs, opens, ends and fetches: strings only, so that asking for it imports none of them.

A tier of somebody else's is found by the entry-point group `llmlab.tier`; its value names a `Tier`, e.g. `theirs.tier:TIER`.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from .errors import LabError

TIERS = (
    "process",
    "docker",
    "compose",
    "systemd",
    "kubernetes",
    "gateway",
    "aws",
    "edge",
    "regions",
    "serverless",
    "fleet",
)
MAC = sys.platform == "darwin"
Part = Literal["needs", "opens", "gives", "ends", "fetches", "verbs"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier; what its strings name (`module:function`) lies in its package."""

    name: str
    home: str  # its package
    needs: Mapping[str, str] = field(default_factory=dict)  # a need → what tries it; gives a `Need`
    opens: Mapping[str, str] = field(
        default_factory=dict
    )  # a method of the lab → what runs until the lab is stopped
    gives: Mapping[str, str] = field(
        default_factory=dict
    )  # and one that only answers, also while a grader runs the notebook
    ends: Mapping[str, str] = field(
        default_factory=dict
    )  # a kind of registered thing → the module that can end it
    fetches: Mapping[str, str] = field(
        default_factory=dict
    )  # a need (or models) → what brings it: called with `say` and the lab it is for, or None; gives the `Need` as it is then
    by_hand: tuple[str, ...] = ()  # of these, what `llmlab fetch` alone brings: a grader says what is missing
    verbs: Mapping[str, str] = field(default_factory=dict)  # a verb of the command line → what does it
    readable: tuple[str, ...] = ()  # what of the cache a grader's sandbox sees


@dataclass(frozen=True, slots=True)
class Need:
    """One need: whether it is met here, what was seen, and the command that brings it."""

    name: str
    met: bool
    detail: str
    mend: str = ""

    @property
    def command(self) -> str:
        """What brings it, without what is remarked on it."""
        return self.mend.partition("   (")[0]

    @property
    def remark(self) -> str:
        """What is remarked on it: `in a terminal of its own`."""
        return self.mend.partition("   (")[2].rstrip(")")


#: What no tier is about: the machine itself.
MACHINE = Tier(
    "machine",
    "llmlab",
    needs={"sandbox": "doctor:sandbox", "root": "doctor:root", "browser": "doctor:browser"},
    ends={
        "cgroup": "serve.limits",
        "builds": "grade.daemon",
        "batch": "grade.pods.owning",
        "scratch": "system.scratch",
    },
    readable=("engine", "models", "checksums"),
)


@functools.cache
def tiers() -> tuple[Tier, ...]:
    """All of them: ours, the machine, and those that others have installed.

    :raises LabError: when one of somebody else's cannot be read.
    """
    ours = [import_module(f"llmlab.tiers.{name}.tier").TIER for name in TIERS]
    return (*ours, MACHINE, *_theirs())


def _theirs() -> list[Tier]:
    found = []
    for entry in sorted(entry_points(group="llmlab.tier"), key=lambda entry_point: entry_point.name):
        try:
            tier = entry.load()
        except Exception as error:  # whatever their module does at its top
            raise LabError(f"The tier {entry.name!r} cannot be read: {error}", where=entry.value) from error
        if not isinstance(tier, Tier):
            raise LabError(f"The tier {entry.name!r} is a {type(tier).__name__}, no Tier.", where=entry.value)
        found.append(tier)
    return found


@functools.cache
def all_of(part: Part) -> dict[str, str]:
    """One part of all tiers: name → what it names, with its package.

    :raises LabError: when two tiers say the same name, or as `tiers`.
    """
    found: dict[str, str] = {}
    for tier in tiers():
        for name, what in getattr(tier, part).items():
            if name in found:
                raise LabError(
                    f"Two tiers have {name!r} among their {part}.", where=f"{found[name]}, {tier.home}.{what}"
                )
            found[name] = f"{tier.home}.{what}"
    return found


def load(what: str) -> Any:
    """What such a string names."""
    module, _, name = what.partition(":")
    return getattr(import_module(module), name)


def program(name: str, *argv: str, timeout: float = 10) -> tuple[bool, str]:
    """Whether a program on PATH runs, and the first line that it prints; for what tries a need.

    :param timeout: seconds.
    """
    path = shutil.which(name)
    if not path:
        return False, f"{name} is not on PATH"
    try:
        done = subprocess.run([path, *argv], capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"{path}: {error}"
    text = (done.stdout or done.stderr).strip().splitlines()
    return done.returncode == 0, text[0] if text else path
