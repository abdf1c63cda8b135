"""Collecting from learners' homes, some of which want something else to be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmlab.cli.main import main
from llmlab.course.info import find_lab
from llmlab.errors import LabError
from llmlab.hub import homes
from llmlab.submissions.handed_in import handed_in

LAB = "01-one-server"
INFO = find_lab("01")


def home(class_: Path, learner: str, **files: str) -> Path:
    """A learner's home with these files in their copy of the lab."""
    folder = class_ / f"jupyter-{learner}" / "llmlab" / "labs" / LAB
    folder.mkdir(parents=True)
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_toml", ".toml").replace("_ipynb", ".ipynb").replace(
            "_json", ".json"
        )
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def pattern(class_: Path) -> str:
    return f"{class_}/jupyter-*/llmlab"


def test_artifacts_notebooks_and_records_are_collected_with_their_times(tmp_path):
    folder = home(
        tmp_path / "home",
        "ann",
        server_toml="model = 1",
        lab_ipynb="{}",
        records__run_json="{}",
        checks_toml="x",
    )
    os.utime(folder / "server.toml", (1_700_000_000, 1_700_000_000))
    (folder / ".llmlab").mkdir()
    (folder / ".llmlab" / "answers.json").write_text("{}")
    (done,) = homes.collect(INFO, homes.matching(pattern(tmp_path / "home")), tmp_path / "out")
    assert (done.learner, done.remarks) == ("ann", ())
    assert sorted(done.files) == ["lab.ipynb", "records/run.json", "server.toml"]
    out = tmp_path / "out" / "ann"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == sorted(
        done.files
    )
    assert (out / "server.toml").stat().st_mtime == 1_700_000_000


def test_the_folder_is_one_that_grade_takes(tmp_path):
    for learner in ("ann", "zoë müller", "ben"):
        home(tmp_path / "home", learner, server_toml=learner, lab_ipynb="{}")
    homes.collect(INFO, homes.matching(pattern(tmp_path / "home")), tmp_path / "out")
    assert [submission.learner for submission in handed_in(tmp_path / "out", INFO)] == [
        "ann",
        "ben",
        "zoë müller",
    ]


def test_no_link_of_a_learner_is_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("root's own")
    class_ = tmp_path / "home"
    (home(class_, "file") / "server.toml").symlink_to(secret)
    (home(class_, "folder") / "records").symlink_to(tmp_path)
    for learner in ("course", "labs"):
        (class_ / f"jupyter-{learner}").mkdir(parents=True)
    (class_ / "jupyter-course" / "llmlab").symlink_to(class_ / "jupyter-file" / "llmlab")
    (class_ / "jupyter-labs" / "llmlab").mkdir()
    (class_ / "jupyter-labs" / "llmlab" / "labs").symlink_to(tmp_path)
    os.mkfifo(home(class_, "pipe") / "server.toml")
    done = homes.collect(INFO, homes.matching(pattern(class_)), tmp_path / "out")
    assert [learner.files for learner in done] == [()] * 5
    remarks = {learner.learner: " ".join(learner.remarks) for learner in done}
    assert "is a link" in remarks["file"]
    assert "is a device, a pipe or a socket" in remarks["pipe"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == []


def test_again_replaces_a_learner_and_keeps_who_has_nothing_now(tmp_path):
    ann = home(tmp_path / "home", "ann", server_toml="1", lab_ipynb="{}")
    home(tmp_path / "home", "ben", server_toml="1")
    courses = homes.matching(pattern(tmp_path / "home"))
    homes.collect(INFO, courses, tmp_path / "out")
    (ann / "server.toml").write_text("2")
    (ann / "lab.ipynb").unlink()
    (courses["ben"] / "labs" / LAB / "server.toml").unlink()
    homes.collect(INFO, courses, tmp_path / "out")
    assert {
        path.relative_to(tmp_path / "out").as_posix(): path.read_text()
        for path in (tmp_path / "out").glob("*/*")
    } == {
        "ann/server.toml": "2",
        "ben/server.toml": "1",
    }


@pytest.mark.parametrize(
    "wrong", ["homes/*/llmlab", "/home/*/x-*/llmlab", "/home/ann/llmlab", "/nowhere/*/llmlab"]
)
def test_a_pattern_that_says_too_little_is_refused(wrong):
    with pytest.raises(LabError):
        homes.matching(wrong)


def test_the_command_says_who_has_nothing_and_what_comes_next(tmp_path, capsys):
    home(tmp_path / "home", "ann", server_toml="1")
    (tmp_path / "home" / "jupyter-ben").mkdir()
    assert main(["collect", "01", "--homes", pattern(tmp_path / "home"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "1 of 2 learners" in said
    assert "without: ben" in said
    assert main(["collect", "01", "--out", str(tmp_path / "out")]) == 1
