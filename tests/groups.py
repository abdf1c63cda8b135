"""Which tests may not run side by side, and which groups start first: for pytest-xdist's `--dist loadgroup`.

A group runs on one worker, in order. A file is a group of its own (its module fixtures are made once); a lab is one; and
what uses a thing of which the machine has one (the regions' loopback addresses) shares one.
"""

from __future__ import annotations

import pytest

#: What is started first, so that no worker begins a long group while the others are done: see `python -m tests.benchmarks proof`.
LONGEST = (
    "regions", "lab 07", "lab 10", "lab 06", "lab 04", "lab 08", "tests/grade/test_corpus.py", "lab 01", "lab 12", "lab 02",
    "tests/platforms/kube/test_addons.py", "tests/binder", "lab 03", "lab 05", "tests/platforms/kube", "tests/grade",
)  # fmt: skip


def group_of(item: pytest.Item) -> str:
    """The group of a test: by its lab, where it is about one, else by its file."""
    path = item.nodeid.partition("::")[0]
    lab = None
    if path == "tests/labs/test_labs.py" and hasattr(item, "callspec"):
        params = item.callspec.params
        lab = params["info"].number if "info" in params else params["fault"]["lab"]
    if lab == "13" or path.startswith(
        ("tests/platforms/region/test_globe", "tests/platforms/region/test_routing")
    ):
        return "regions"
    return f"lab {lab}" if lab else path


def rank(group: str) -> int:
    """Its place in line."""
    return next((place for place, start in enumerate(LONGEST) if group.startswith(start)), len(LONGEST))


def sort(items: list[pytest.Item]) -> None:
    """Mark every test with its group, and put the longest groups first; within a group the order stays."""
    groups = {item.nodeid: group_of(item) for item in items}
    for item in items:
        item.add_marker(pytest.mark.xdist_group(groups[item.nodeid]))
    items.sort(key=lambda item: rank(groups[item.nodeid]))
