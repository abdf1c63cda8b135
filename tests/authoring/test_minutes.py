"""What a lab's steps take, and that lab.toml may not say less."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="jupytext is missing: pip install -e '.[author]'")

from llmlab.authoring.drift import check
from llmlab.authoring.minutes import lines_to_write, minutes
from llmlab.authoring.source import read
from llmlab.course.info import find_lab

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path):
    for part in ("labs", "solutions"):
        shutil.copytree(COURSE / part / "12-edge", tmp_path / part / "12-edge")
    return tmp_path


def test_a_lab_may_not_say_less_than_its_steps_take(course):
    assert check(course) == []
    toml = course / "labs" / "12-edge" / "lab.toml"
    toml.write_text(toml.read_text().replace("minutes = 60", "minutes = 30"))
    (drift,) = check(course)
    assert drift.where == str(toml)
    assert drift.what.startswith("minutes = 30, but its steps take reading ")


def test_lines_that_are_there_already_are_not_written_again(course):
    info = find_lab("12", course)
    before = lines_to_write(info)
    worked, given = info.solution / "worker.js", info.starter / "worker.js"
    given.write_text(worked.read_text().partition("\n")[2])
    other = lines_to_write(info)
    worked.unlink()
    assert 0 <= lines_to_write(info) < other < before
    assert other - lines_to_write(info) == 1


def test_the_machine_s_part_is_what_was_measured(course):
    info, source = find_lab("12", course), read(course / "solutions" / "12-edge" / "lab.py")
    assert minutes(course, info, source).machine == 0
    (course / "data").mkdir()
    (course / "data" / "minutes.toml").write_text("[lab.12]\ncheck = 0.5\nnotebook = 1.0\n")
    parts = minutes(course, info, source)
    assert parts.machine == 2
    assert parts.total == pytest.approx(parts.reading + parts.cells + parts.writing + 2)
