"""labs/instructors.md, followed literally: its files are written, its commands run, its outputs compared.

How it is read: a ```bash block is run, unless the line above it says where it belongs; a ```text block is what the
bash block before it prints (`…` stands for anything in a line, or for any lines); any other block with a language is
written as the line above it says; a block without a language only shows something.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("jupytext", reason="jupytext is missing: pip install -e '.[author]'")

GUIDE = Path(__file__).resolve().parents[2] / "labs" / "instructors.md"
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
WRITE = re.compile(r"Write `(?P<path>[^`]+)`:$", re.DOTALL)
APPEND = re.compile(r"[Aa]dd to the end of `(?P<path>[^`]+)`:$", re.DOTALL)
ABOVE = re.compile(r"In `(?P<path>[^`]+)`, above the line `(?P<line>[^`]+)`, put:$", re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One block: what to do with it, where it stands."""

    kind: str  # run | says | write | append | above
    text: str
    line: int
    path: str = ""
    above: str = ""


def steps(heading: str) -> list[Step]:
    """The blocks of one part of the guide, in order."""
    guide = GUIDE.read_text(encoding="utf-8")
    plain = FENCE.sub(lambda block: "x" * len(block[0]), guide)  # a block may hold headings of its own
    start = plain.index(f"\n## {heading}\n")
    end = plain.find("\n## ", start + 1)
    end = len(guide) if end < 0 else end
    found = []
    for block in FENCE.finditer(guide, start, end):
        line = guide.count("\n", 0, block.start()) + 1
        paragraph = re.sub(r"\s+", " ", guide[start : block.start()].rstrip().rpartition("\n\n")[2])
        text = block["text"]
        for kind, form in (("write", WRITE), ("append", APPEND), ("above", ABOVE)):
            if told := form.search(paragraph):
                found.append(Step(kind, text, line, told["path"], told.groupdict().get("line", "")))
                break
        else:
            kind = {"bash": "run", "text": "says", "": "shows"}.get(block["language"])
            assert kind, f"line {line}: it is not said where this {block['language']} block goes"
            assert kind != "says" or (found and found[-1].kind == "run"), (
                f"line {line}: nothing ran before this output"
            )
            if kind != "shows":
                found.append(Step(kind, text, line))
    return found


class Reader:
    """Somebody who does what the guide says, in one terminal."""

    def __init__(self, home: Path, tools: Path) -> None:
        self.home = self.cwd = home
        tools.mkdir()
        for name in ("llmlab", "papermill"):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {name} "$@"\n')
            (tools / name).chmod(0o755)
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        self.env = os.environ | {"PATH": path, "TZ": "UTC", "LLMLAB_PROFILE": "binder", "COLUMNS": "200"}
        self.env.pop("LLMLAB_COURSE", None)
        self.said = ""

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        line = ["bash", "-ec", f'{script}\npwd > "{self.home}/.cwd"']
        done = subprocess.run(line, cwd=self.cwd, env=self.env, capture_output=True, text=True)
        if done.returncode == 0:
            self.cwd = Path((self.home / ".cwd").read_text().strip())
        return done

    def follow(self, step: Step) -> None:
        where = f"{GUIDE.name}:{step.line}"
        if step.kind == "run":
            done = self.run(step.text)
            assert done.returncode == 0, (
                f"{where}: exit code {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
            self.said = done.stdout.replace("\ufeff", "")
            return
        if step.kind == "says":
            assert pattern(step.text).fullmatch(self.said), (
                f"{where} expects\n{step.text}\nand there came\n{self.said}"
            )
            return
        path = self.cwd / step.path
        if step.kind == "write":
            path.write_text(step.text, encoding="utf-8")
        elif step.kind == "append":
            path.write_text(path.read_text(encoding="utf-8") + step.text, encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
            assert text.count(step.above + "\n") == 1 or text.count(step.above + " ") == 1, (
                f"{where}: no such line"
            )
            path.write_text(text.replace(step.above, step.text + step.above), encoding="utf-8")


def pattern(shown: str) -> re.Pattern[str]:
    """What a guide's output stands for."""
    lines = []
    for line in shown.splitlines():
        lines.append(
            r"(?:.*\n)*?" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"[ \t]*\n"
        )
    return re.compile("".join(lines))


def test_a_shown_output_is_what_came_and_nothing_else():
    assert pattern("a …\n…\nz\n").fullmatch("a 1\nz\n")
    assert pattern("a …\n…\nz\n").fullmatch("a 1\nb\nc\nz\n")
    assert not pattern("a …\nz\n").fullmatch("a 1\nb\nz\n")
    assert not pattern("a\n").fullmatch("a\nb\n")


@pytest.mark.needs("process")
def test_a_lab_of_your_own_from_nothing(tmp_path):
    reader = Reader(tmp_path, tmp_path / ".tools")
    part = steps("A lab of your own in 30 minutes")
    assert [step.kind for step in part].count("says") >= 6, "the guide shows what comes out"
    for step in part:
        reader.follow(step)
    course = tmp_path / "my-course"
    assert "8 of 8 points" in (course / "grades" / "alice" / "feedback.html").read_text()
    assert "Come and see me." in (course / "grades" / "ben" / "feedback.html").read_text()
    handed_out = reader.run("tar -tzf handout.tar.gz").stdout.split()
    assert "labs/20-private-readers/checks.py" in handed_out
    assert not [name for name in handed_out if name.endswith("lab.py") or ".llmlab" in name]
    assert not [name for name in handed_out if name.startswith("solutions") and "starter" not in name]
    # what was handed out works where no solution is
    away = reader.run(
        "mkdir ../away && tar -xzf handout.tar.gz -C ../away && cd ../away && llmlab reset 20 && llmlab labs"
    )
    assert away.returncode == 0, away.stderr
    assert "Private readers" in away.stdout


@pytest.fixture
def course(tmp_path):
    """A course with a small lab 01 and what three learners handed in, laid out as the guide shows."""
    reader = Reader(tmp_path, tmp_path / ".tools")
    made = reader.run("llmlab author new 01-one-server --into . --title 'One server'")
    assert made.returncode == 0, made.stderr
    submissions, solution = tmp_path / "submissions", tmp_path / "solutions" / "01-one-server"
    (submissions / "alice").mkdir(parents=True)
    for name in ("server.toml", "01-one-server.ipynb"):
        shutil.copy(tmp_path / "labs" / "01-one-server" / name, submissions / "alice")
    shutil.copy(solution / "lab.ipynb", submissions / "ben.ipynb")
    (tmp_path / "zoe").mkdir()
    for name in ("server.toml", "lab.ipynb"):
        shutil.copy(solution / name, tmp_path / "zoe")
    shutil.make_archive(str(submissions / "Zoë Müller"), "zip", tmp_path / "zoe")
    for path in submissions.rglob("*"):
        os.utime(path, (1_764_000_000, 1_764_000_000))
    return reader


@pytest.mark.full
@pytest.mark.needs("process")
def test_grade_a_class(course):
    """Every command of the first part, word for word, in its order."""
    home = course.home
    shown = ("alice", "Zoë Müller.zip", "ben.ipynb")
    guide = GUIDE.read_text(encoding="utf-8")
    assert all(name in guide for name in shown), "the fixture lays out what the guide shows"
    part = steps("Grade a class")
    for step in part:
        if step.path == "run_autograder":  # Gradescope's own folders, here
            continue
        course.follow(step)
        if step.kind == "run" and "--out" in step.text:
            assert set(rows(home)) == {"alice", "ben", "Zoë Müller"}
    row = rows(home)
    assert {name: grades["score"] for name, grades in row.items()} == {
        "alice": "1.5",
        "ben": "0",
        "Zoë Müller": "5",
    }
    assert "server.toml" in (home / "grades" / "ben" / "feedback.html").read_text()
    page = (home / "grades" / "alice" / "feedback.html").read_text()
    assert all(word in page for word in ("A tidy file.", "Judged by hand.", "each page had")), (
        "after the deadline"
    )
    told = {path.relative_to(home).as_posix() for path in (home / "grades").rglob("*") if path.is_file()}
    assert {name for name in re.findall(r"^\| `(grades/[^`]+)`", guide, re.MULTILINE)} <= told
    assert (home / "out" / "alice.ipynb").is_file()


def rows(home: Path) -> dict[str, dict[str, str]]:
    with open(home / "grades" / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        return {row["learner"]: row for row in csv.DictReader(file)}


@pytest.mark.needs("process")
def test_the_gradescope_script(course):
    """The guide's run_autograder with Gradescope's folders below a folder of ours."""
    [step] = [step for step in steps("Grade a class") if step.path == "run_autograder"]
    root = course.home / "autograder"
    (root / "results").mkdir(parents=True)
    (root / "source").symlink_to(course.home)
    shutil.copytree(course.home / "zoe", root / "submission")
    (course.home / "run_autograder").write_text(step.text.replace("/autograder", str(root)))
    done = course.run("bash -e run_autograder")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"score": 5' in (root / "results" / "results.json").read_text()


def test_the_guide_is_found_from_the_readme():
    assert "(labs/instructors.md)" in (GUIDE.parents[1] / "README.md").read_text()
