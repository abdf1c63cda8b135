"""What a lab says of itself, read or refused with the key and an example; and what its folder holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab.course.info import LateRule, read_info
from llmlab.errors import LabError

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def read(tmp_path):
    folder = tmp_path / "01-one-server"
    folder.mkdir()

    def go(table):
        shutil.copy(COURSE / "labs/01-one-server/lab.toml", folder / "lab.toml")
        text = (folder / "lab.toml").read_text()
        (folder / "lab.toml").write_text(
            table + "\n" + text if table.startswith("late") else text + "\n" + table
        )
        return read_info(folder).late

    return go


def test_a_rule_is_read_and_none_is_none(read):
    assert read("[late]\ngrace = 15\nper_day = 0.1\nat_most = 0.5") == LateRule(15, 0.1, 0.5)
    assert read("[late]\nper_day = 1") == LateRule(0, 1, 1)
    assert read("") is None


@pytest.mark.parametrize(
    ("table", "key", "example"),
    [
        ("[late]\ngrace = 15", "per_day", "per_day = 0.1"),
        ("[late]\nper_day = 10", "per_day", "per_day = 0.1"),
        ("[late]\nper_day = -0.1", "per_day", "per_day = 0.1"),
        ("[late]\nper_day = nan", "per_day", "per_day = 0.1"),
        ("[late]\nper_day = true", "per_day", "per_day = 0.1"),
        ('[late]\nper_day = "10 %"', "per_day", "per_day = 0.1"),
        ("[late]\nper_day = 0.1\ngrace = -1", "grace", "grace = 15"),
        ("[late]\nper_day = 0.1\ngrace = inf", "grace", "grace = 15"),
        ("[late]\nper_day = 0.1\nat_most = 50", "at_most", "at_most = 0.5"),
        ("[late]\nper_day = 0.1\ngrase = 5", "grase", "grace"),
        ("late = 0.1", "late", "per_day = 0.1"),
    ],
)
def test_a_bad_rule_names_the_file_the_key_and_an_example(read, table, key, example):
    with pytest.raises(LabError) as caught:
        read(table)
    assert key in caught.value.what
    assert "lab.toml" in caught.value.where
    assert example in caught.value.fix


def test_no_file_of_a_lab_hides_a_package(tmp_path):
    """A kernel looks in the lab's folder first: a requests.py there is what Docker's client would import."""
    names = sorted({path.stem for path in (COURSE / "labs").glob("*/*.py")})
    program = "import sys, importlib.util as u; print([n for n in sys.argv[1:] if (s := u.find_spec(n)) and s.origin])"
    said = subprocess.run(
        [sys.executable, "-P", "-c", program, *names],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "[]"
