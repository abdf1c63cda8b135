"""What shares a worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from groups import group_of, rank

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
