"""What shares a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from groups import group_of, labs_last, rank

TESTS = Path(__file__).parent
LABS = "tests/labs/test_labs.py::test_solution_passes"


@pytest.mark.parametrize(
    ("test", "group"),
    [
        (f"{LABS}[04-compose]", "lab 04"),
        (f"{LABS}[13-regions]", "regions"),
        ("tests/tiers/regions/test_globe.py::test_x[a]", "regions"),
        (
            "tests/labs/test_labs.py::test_each_fault_is_caught_by_its_checks[slot-starvation]",
            "labs that measure",
        ),
        ("tests/records/test_store.py::test_x[04-compose]", "tests/records/test_store.py"),
        ("tests/capacity/test_fleet.py::test_x", "tests/capacity"),
    ],
)
def test_a_group_is_a_lab_a_file_or_a_thing_of_which_there_is_one(test, group):
    assert group_of(test) == group


def test_the_longest_start_first():
    assert rank("regions") < rank("lab 05") < rank("tests/records/test_store.py")


def test_a_worker_that_ends_costs_one_test_and_not_the_run(tmp_path):
    """Of five files on two workers, one ends its worker in its second test: all others pass, and the run comes to its end."""
    (tmp_path / "conftest.py").write_text(
        "import groups\ndef pytest_xdist_make_scheduler(config, log):\n    return groups.ByGroup(config, log)\n"
    )
    for number in range(5):
        ends = "    if n == 1: os._exit(1)\n" if number == 1 else ""
        test = f"import os, pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n):\n{ends}    assert n < 4\n"
        (tmp_path / f"test_{number}.py").write_text(test)
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "--dist",
        "loadscope",
        "-p",
        "no:cacheprovider",
        str(tmp_path),
    ]
    done = subprocess.run(
        line,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "1 failed, 19 passed" in done.stdout, done.stdout[-2000:] + done.stderr[-2000:]


class Item:
    """A test, as pytest holds it."""

    def __init__(self, name: str, *marks: str) -> None:
        self.nodeid = f"tests/{name}" if "/" in name else f"tests/labs/test_labs.py::{name}"
        self.name = name
        self.marks = marks

    def get_closest_marker(self, name):
        return name in self.marks or None


def test_where_not_every_lab_has_its_turn_they_come_last_and_the_longest_unproved_is_first():
    points, quick, slow = "test_points[03-x]", "records/test_store.py::test_x", "test_solution_passes[{}]"
    tests = [
        Item(points),
        *(Item(slow.format(lab), "ledger") for lab in ("03-x", "04-y", "05-z")),
        Item(quick),
    ]
    labs_last(
        tests, {slow.format("03-x"): "2026-11-30 20:00 UTC", slow.format("05-z"): "2026-11-29 20:00 UTC"}
    )
    assert [test.name for test in tests] == [
        quick, slow.format("04-y"), slow.format("05-z"), points, slow.format("03-x")
    ]  # fmt: skip
