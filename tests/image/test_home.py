"""A learner's copy of the course, the first time and when the image is a newer one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from llmlab.errors import LabError
from llmlab.image import contents
from llmlab.image.home import lay_out

ROOT = contents.checkout()
LAB = Path("labs/01-one-server")


def test_the_copy_is_a_course_that_can_be_edited(tmp_path):
    written = lay_out(ROOT, tmp_path / "llmlab")
    assert LAB / "server.toml" in written
    assert {path.parts[0] for path in written} == {"LICENSE", "README.md", "data", "labs", "solutions"}
    assert all(os.access(tmp_path / "llmlab" / path, os.W_OK) for path in written)
    assert lay_out(ROOT, tmp_path / "llmlab") == []


def test_a_newer_image_changes_what_is_not_the_learners(tmp_path):
    mine = tmp_path / "llmlab"
    lay_out(ROOT, mine)
    edited = {
        LAB / "server.toml": "mine",
        LAB / f"{LAB.name}.ipynb": "mine",
        LAB / "checks.py": "older",
        LAB / "notes.md": "mine",
    }
    for path, text in edited.items():
        (mine / path).write_text(text)
    (mine / LAB / "hints.md").unlink()
    assert sorted(lay_out(ROOT, mine)) == [LAB / "checks.py", LAB / "hints.md"]
    assert {path: (mine / path).read_text() for path in edited if path != LAB / "checks.py"} == {
        path: "mine" for path in edited if path != LAB / "checks.py"
    }
    assert (mine / LAB / "checks.py").read_bytes() == (ROOT / LAB / "checks.py").read_bytes()


def test_a_home_that_is_full_or_closed_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="Cannot write"):
        lay_out(ROOT, tmp_path / "file")
    shutil.rmtree(tmp_path)
