"""A course folder without the right to write: a LabError that says what to do, never a traceback."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llmlab import Lab, LabError
from llmlab.cli.main import main
from llmlab.course import progress
from llmlab.system.paths import cache_dir, state_dir

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A copy in which the folder of notes of lab 00 cannot be made: a file is in its place, which stops root too."""
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs/00-start-here", "solutions/00-start-here"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    (tmp_path / "labs/00-start-here/.llmlab").write_text("")
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "labs/00-start-here")
    return tmp_path


def test_the_first_cell_says_what_to_do(course):
    with pytest.raises(LabError, match=r"Cannot write to .*00-start-here") as caught:
        Lab.here()
    assert caught.value.fix == "copy the course to a folder of your own and open it there"


@pytest.mark.parametrize("verb", [["check", "00"], ["hint", "00"], ["reset", "00"]], ids=lambda verb: verb[0])
def test_so_does_the_command_line(course, verb, capsys):
    (course / "labs/00-start-here/server.toml").write_text("# mine\n")
    assert main(verb) == 1
    said = capsys.readouterr()
    assert "Cannot write to" in said.out + said.err
    assert "copy the course" in said.out + said.err


def test_so_does_the_course_page(course):
    (course / "labs/index.md").mkdir()
    with pytest.raises(LabError, match=r"Cannot write to .*labs"):
        progress.write_index(course)
    progress.write_index_quietly(course)  # beside a check it is not worth an error


@pytest.mark.parametrize(("variable", "folder"), [("LLMLAB_CACHE", cache_dir), ("LLMLAB_STATE", state_dir)])
def test_so_do_the_folders_of_the_user(variable, folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(variable, str(tmp_path / "file/below"))
    with pytest.raises(LabError, match="Cannot write to") as caught:
        folder()
    assert caught.value.fix.startswith(variable)


@pytest.mark.skipif(
    not hasattr(os, "seteuid") or os.geteuid() != 0, reason="needs root to become someone else"
)
def test_somebody_without_the_right_reads_the_same(tmp_path):
    path = tmp_path / "progress.json"
    os.seteuid(65534)
    try:
        with pytest.raises(LabError, match="Permission denied"):
            progress.write_json(path, {})
    finally:
        os.seteuid(0)
