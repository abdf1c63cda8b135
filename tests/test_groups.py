"""What shares a worker."""

from __future__ import annotations

import pytest
from groups import group_of, rank

LABS = "tests/labs/test_labs.py::test_solution_passes"


@pytest.mark.parametrize(
    ("test", "group"),
    [
        (f"{LABS}[04-compose]", "lab 04"),
        (f"{LABS}[13-regions]", "regions"),
        ("tests/platforms/region/test_globe.py::test_x[a]", "regions"),
        ("tests/labs/test_labs.py::test_each_fault_is_caught_by_its_checks[slot-starvation]", "lab 01"),
        ("tests/records/test_store.py::test_x[04-compose]", "tests/records/test_store.py"),
    ],
)
def test_a_group_is_a_lab_a_file_or_a_thing_of_which_there_is_one(test, group):
    assert group_of(test) == group


def test_the_longest_start_first():
    assert rank("regions") < rank("lab 02") < rank("tests/records/test_store.py")
