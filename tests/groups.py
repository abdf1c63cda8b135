"""Which tests share a worker, and which groups start first: the schedule of pytest-xdist.

A group runs on one worker, in order. A file is a group of its own (its module fixtures are made once); a lab is one; and
what uses a thing of which the machine has one (the regions' loopback addresses) shares one. Not by `xdist_group` marks: pytest-xdist
3.8 writes them where pytest 9.2 no longer looks (findings/xdist-groups-are-lost.sh).
"""

from __future__ import annotations

import functools
import re
import tomllib
from pathlib import Path

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

#: What is started first, so that no worker begins a long group while the others are done: see `python -m tests.benchmarks proof`.
#: Where nothing is installed, the labs that measure take half of the time; what draws and computes goes on beside them, while graders
#: would wait for the turn to measure.
LONGEST = (
    "labs that measure", "regions", "lab 07", "lab 11", "lab 09", "lab 10", "lab 06", "lab 04", "lab 08", "tests/grade/test_corpus.py", "tests/cases/", "lab 12",
    "tests/tiers/kubernetes/test_addons.py", "tests/tiers/gateway/", "tests/tiers/serverless/test_knative", "tests/binder", "lab 03", "lab 05", "tests/tiers/kubernetes",
    "tests/capacity", "tests/certificate", "tests/figures", "tests/tiers/fleet/test_figures", "tests/tiers/serverless/test_figures", "tests/grade",
)  # fmt: skip
LABS = "tests/labs/test_labs.py"
AFTER_REGIONS = "::test_what_was_open_works_or_says_how_to_open_it_again[regions]"


def group_of(test: str) -> str:
    """The group of a test, by its id: its lab, where it is about one, else its file."""
    path, _, rest = test.partition("::")
    lab = None
    if path == LABS and (found := re.search(r"\[(.+)\]$", rest)):
        lab = _lab_of_fault().get(found[1]) or found[1].partition("-")[0]
    regions = ("tests/tiers/regions/test_globe", "tests/tiers/regions/test_routing")
    if lab == "13" or path.startswith(regions) or test.endswith(AFTER_REGIONS):
        return "regions"
    if lab in ("00", "01", "02"):
        return "labs that measure"  # by turns: side by side they would wait for each other
    if path.startswith("tests/capacity/"):
        return "tests/capacity"  # whoever comes first compiles the simulator, for ten seconds
    return f"lab {lab}" if lab else path


@functools.cache
def _lab_of_fault() -> dict[str, str]:
    faults = tomllib.loads((Path(__file__).parents[1] / "data" / "faults.toml").read_text())["fault"]
    return {fault["id"]: fault["lab"] for fault in faults}


def rank(group: str) -> int:
    """Its place in line."""
    return next((place for place, start in enumerate(LONGEST) if group.startswith(start)), len(LONGEST))


def sort(items: list[pytest.Item]) -> None:
    """The longest groups first; within a group the order stays."""
    items.sort(key=lambda item: rank(group_of(item.nodeid)))


def labs_last(items: list[pytest.Item], passed: dict[str, str]) -> None:
    """For a run in which not every lab has its turn: what was never proved, or longest ago, is first among the labs, and they come last.

    :param passed: when each test passed last, by its name.
    """
    oldest: dict[str, str] = {}
    for item in items:
        if item.get_closest_marker("ledger"):
            group = group_of(item.nodeid)
            oldest[group] = min(passed.get(item.name, ""), oldest.get(group, "~"))
    items.sort(key=lambda item: oldest.get(group_of(item.nodeid), ""))
    items.sort(key=lambda item: group_of(item.nodeid) in oldest)


class ByGroup(LoadScopeScheduling):
    """A free worker takes the next group."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)

    def remove_node(self, node: WorkerController) -> str | None:
        """The test at which a worker ended, if it did: it has failed, and is not tried again.

        pytest-xdist 3.8 also gives out again what the worker had done; a worker with nothing but that waits for ever.
        """
        work = self.assigned_work.pop(node)
        ended = next((test for unit in work.values() for test, done in unit.items() if not done), None)
        if ended is not None:
            work[self._split_scope(ended)][ended] = True
            self.workqueue.update({group: unit for group, unit in work.items() if not all(unit.values())})
            for other in self.assigned_work:
                self._reschedule(other)
        return ended
