"""Secrets in a learner's folder: each form and each drawn key is named by file and line, never shown; what is none is not called one."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from llmlab.checks import Context, leaks
from llmlab.checks.parts import load_checks

COURSE = Path(__file__).resolve().parents[2]
#: Put together here, so that no line of this file is one.
OPEN = {
    "AWS Access Key": "AKIA" + "QZ3PLMN7RTWY2K4D",
    "GitHub Token": "ghp_" + "a1B2c3D4" * 4 + "e5F6",
    "Private Key": "-----BEGIN " + "PRIVATE KEY-----",
    "Basic Auth Credentials": "https://planner" + ":Tr0ub4dor@prices.invalid/",
    "GitLab Token": "glpat-" + "x9Y8z7W6v5U4t3S2r1Q0",
}
#: Looks like one, and is none.
NONE = {
    "an example key of a manual": "AKIA" + "IOSFODNN7EXAMPLE",
    "a placeholder": "https://user" + ":<password>@prices.invalid/",
    "a variable": "https://user" + ":${PASSWORD}@prices.invalid/",
    "a hash": "sha256:" + "0123456789abcdef" * 4,
    "a picture": base64.b64encode(bytes(range(256)) * 30).decode(),
    "the key of the guide's starter": "LLAMA_API_KEY=${LLAMA_API_KEY:-secret}",
    "an address with a port": "http://127.0.0.1:8080/v1@home",
}


def found(folder: Path) -> list[str]:
    return [str(leak) for leak in leaks.search(folder).leaks]


@pytest.mark.parametrize("kind", OPEN)
def test_each_form_is_found_with_its_line_and_never_shown(kind, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text(f'{{"first": 1,\n "url": "{OPEN[kind]}"}}')
    (leak,) = leaks.search(tmp_path).leaks
    assert (leak.file, leak.line, leak.kind) == ("records/a.json", 2, kind)
    assert OPEN[kind].rpartition(":")[2][:12] not in repr(leak)


@pytest.mark.parametrize("what", NONE)
def test_what_is_no_secret_is_not_called_one(what, tmp_path):
    (tmp_path / "notes.md").write_text(NONE[what])
    assert found(tmp_path) == []


def test_a_key_in_the_output_of_a_notebook_is_found_beside_a_picture(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": NONE["a picture"]}}
    shown = {"output_type": "stream", "text": [OPEN["GitHub Token"]]}
    (tmp_path / "lab.ipynb").write_text(json.dumps({"cells": [{"outputs": [picture, shown]}]}, indent=1))
    (leak,) = leaks.search(tmp_path).leaks
    assert leak.kind == "GitHub Token"


def test_a_key_that_a_lab_drew_is_found_by_its_value_and_may_stand_where_the_lab_laid_it(tmp_path):
    drawn = tmp_path / "04-compose" / "secrets" / "api_key"
    drawn.parent.mkdir(parents=True)
    drawn.write_text("ordinary\n")
    assert found(tmp_path) == []
    (tmp_path / "04-compose" / "compose.yaml").write_text("environment:\n  - KEY=ordinary\n")
    assert found(tmp_path) == ["04-compose/compose.yaml:2 (the key of 04-compose/secrets/api_key)"]


def test_links_programs_and_what_tools_bring_are_passed_over(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF\0" + OPEN["Private Key"].encode())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "a.py").write_text(OPEN["Private Key"])
    (tmp_path / "outside").symlink_to("/etc")
    searched = leaks.search(tmp_path)
    assert (searched.leaks, searched.files, searched.cut) == ((), 1, False)


def test_it_is_bounded_in_files_bytes_and_time_and_says_so(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text("x" * 100)
    assert leaks.search(tmp_path, files=2).cut
    assert leaks.search(tmp_path, total=250).files == 2
    assert leaks.search(tmp_path, seconds=-1).cut
    assert not leaks.search(tmp_path).cut


@pytest.mark.parametrize("name", ["labs", "tests/cases"])
def test_no_false_alarm_in_the_labs_worked_files_and_those_of_strangers(name, tmp_path):
    shutil.copytree(COURSE / name, tmp_path / name, symlinks=True)
    if name == "labs":  # the worked files of all labs over the course's own
        for lab in sorted((COURSE / "solutions").iterdir()):
            shutil.copytree(lab, tmp_path / name / lab.name, dirs_exist_ok=True)
    searched = leaks.search(tmp_path)
    assert [str(leak) for leak in searched.leaks] == []
    assert searched.files > 20


@pytest.fixture
def secrets():
    (check,) = [check for check in load_checks(COURSE / "labs" / "14-capstone") if check.name == "secrets"]
    return check


def test_the_check_looks_through_the_whole_folder_and_in_a_grader_through_what_was_handed_in(
    secrets, tmp_path
):
    for name in ("handed", "home"):
        (tmp_path / name).mkdir()
    (tmp_path / "home" / "notes.md").write_text(OPEN["GitHub Token"])
    (tmp_path / "handed" / "plan.toml").write_text("speeds = 1")

    def said(home):
        context = Context(files=tmp_path / "handed", seed=0, answers={}, profile="binder", home=home)
        return secrets.function(context)

    at_home, graded = said(tmp_path / "home"), said(None)
    assert (at_home.status, graded.status) == ("failed", "passed")
    assert "notes.md:1 (GitHub Token)" in at_home.evidence.observed
    assert "ghp_" not in repr(at_home)
    assert "1 files of what was handed in" in graded.evidence.observed
