"""`llmlab author new`: a small lab that works, where it goes, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="jupytext is missing: pip install -e '.[author]'")

from llmlab import authoring
from llmlab.authoring import readme
from llmlab.checks import load_checks
from llmlab.cli.main import main
from llmlab.course.hints import read_hints
from llmlab.course.info import find_lab
from llmlab.errors import LabError

COURSE = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    monkeypatch.delenv("LLMLAB_COURSE", raising=False)


def test_it_keeps_the_house_rules(tmp_path):
    made = authoring.new("20-short-replies", tmp_path / "new" / "course")
    assert all(path.is_file() for path in made)
    assert len(made) == 9
    assert authoring.check(tmp_path / "new" / "course") == []
    info = find_lab("20", tmp_path / "new" / "course")
    assert info.title == "Short replies"
    checks = load_checks(info.folder)
    assert sum(check.points for check in checks) == info.points
    assert {check.name: len(read_hints(info.folder / "hints.md")[check.name]) for check in checks} == {
        check.name: 3 for check in checks
    }
    assert set(info.starter_fails) < {check.name for check in checks}
    for name in info.artifacts:
        assert (
            (info.starter / name).read_bytes()
            == (info.folder / name).read_bytes()
            != (info.solution / name).read_bytes()
        )
    assert not [path for path in made if "@@" in path.read_text(encoding="utf-8")], "a mark was not filled in"
    assert sorted(path.name for path in (tmp_path / "new" / "course").iterdir()) == ["labs", "solutions"]


@pytest.mark.parametrize("title", ['Say "hello"', r"C:\temp", "Zoë's réponses — 短い", "{braces} $x %d"])
def test_any_title_that_fits_a_line(tmp_path, title):
    authoring.new("20-a", tmp_path, title=title)
    assert find_lab("20", tmp_path).title == title
    assert f"# # 20 · {title}\n" in (tmp_path / "solutions" / "20-a" / "lab.py").read_text(encoding="utf-8")
    assert authoring.check(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("short-replies", "20-short-replies"),
        ("20", "20-my-lab"),
        ("7-short", "07-short"),
        ("20_Short Replies", "20-short-replies"),
        ("20-Short", "20-short"),
        ("20-short-", "20-short"),
        ("../20-x", "20-x"),
        ("120-x", "20-120-x"),
        ("20-" + "x" * 80, "20-" + "x" * 57),
        ("", "20-my-lab"),
    ],
)
def test_a_name_that_is_none(tmp_path, name, meant):
    with pytest.raises(LabError, match="is no name for a lab") as error:
        authoring.new(name, tmp_path)
    assert error.value.fix == f"llmlab author new {meant}"
    assert list(tmp_path.iterdir()) == []
    authoring.new(meant, tmp_path)


@pytest.mark.parametrize("title", ["", "  ", "two\nlines", "x" * 80])
def test_a_title_that_is_none(tmp_path, title):
    with pytest.raises(LabError, match="does not fit a line"):
        authoring.new("20-a", tmp_path, title=title)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_and_no_number_is_given_twice(tmp_path):
    authoring.new("20-first", tmp_path)
    (tmp_path / "solutions" / "21-half").mkdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for name, what, fix in (
        ("20-first", "20-first already", "another name"),
        ("21-half", "21-half already", "another name"),
        ("20-second", "number 20 is taken by 20-first", "llmlab author new 21-second"),
        ("22-first", "name first is taken by 20-first", "llmlab author new 22-another-slug"),
    ):
        with pytest.raises(LabError, match=what) as error:
            authoring.new(name, tmp_path)
        assert fix in str(error.value.fix)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_course_that_is_a_file(tmp_path):
    (tmp_path / "course").write_text("x")
    with pytest.raises(LabError, match="was not made") as error:
        authoring.new("20-a", tmp_path / "course")
    assert str(tmp_path / "course") in str(error.value.where)


def test_where_it_goes(tmp_path, monkeypatch):
    """Into the folder that is named, the course that one is in, else here; never beside the package unasked."""
    (tmp_path / "course").mkdir()
    authoring.new("20-a", tmp_path / "course")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert authoring.course_for() == tmp_path / "empty"
    assert authoring.course_for(Path("../course")) == tmp_path / "course"
    monkeypatch.chdir(tmp_path / "course" / "labs" / "20-a")
    assert authoring.course_for() == tmp_path / "course"
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path / "empty"))
    assert authoring.course_for() == tmp_path / "empty"


def test_from_a_shell_in_an_empty_folder(tmp_path):
    env = {key: value for key, value in os.environ.items() if key != "LLMLAB_COURSE"}
    line = [sys.executable, "-m", "llmlab", "author", "new", "20-a"]
    done = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "labs/20-a/20-a.ipynb"
    assert (tmp_path / "labs" / "20-a" / "20-a.ipynb").is_file()
    again = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (1, "")
    assert "✘ There is a 20-a already" in again.stderr
    assert "Traceback" not in again.stderr


def test_a_readme_has_a_table_of_labs_where_it_wants_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["author", "new", "20-a"]) == 0
    assert main(["author", "build"]) == 0
    assert main(["author", "build", "--check"]) == 0
    assert not (tmp_path / "README.md").exists()
    (tmp_path / "README.md").write_text("# Mine\n")
    assert main(["author", "build"]) == 0
    assert (tmp_path / "README.md").read_text() == "# Mine\n"
    (tmp_path / "README.md").write_text(f"# Mine\n{readme.BEGIN}\n{readme.END}\n")
    assert main(["author", "build", "--check"]) == 1
    assert main(["author", "new", "21-b"]) == 0
    assert "| 21 | [B](labs/21-b/21-b.ipynb)" in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text(f"# Mine\n{readme.BEGIN}\n")
    assert main(["author", "build", "--check"]) == 1
    assert "lost the marks" in capsys.readouterr().err


def test_this_courses_own_readme_keeps_its_table():
    text = (COURSE / "README.md").read_text(encoding="utf-8")
    assert readme.BEGIN in text
    assert readme.END in text
