"""Every lab, proved: starter red with exactly its named checks, solution green twice, reset byte-identical, nothing left."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import psutil
import pytest

from llmlab import owned
from llmlab.lab import Lab, all_labs
from llmlab.lab.hints import read_hints
from llmlab.lab.lab import reset
from llmlab.checks import load_checks

COURSE = Path(__file__).resolve().parents[2]
LABS = all_labs(COURSE)
each_lab = pytest.mark.parametrize(
    "info", [pytest.param(info, id=info.name, marks=pytest.mark.needs(*info.needs)) for info in LABS]
)


@pytest.fixture
def files(info, tmp_path):
    """A learner's folder with the starter's files."""
    folder = tmp_path / "work"
    folder.mkdir()
    reset(info, folder)
    return folder


def answers_of_solution(info) -> dict:
    """The worked answers: those that the solution notebook gives."""
    given: dict = {}

    class Answers:
        def answer(self, **kw):
            given.update(kw)

    notebook = nbformat.read(info.solution / "lab.ipynb", 4)
    for cell in notebook.cells:
        if "answer" in cell.metadata.get("tags", []):
            exec(cell.source, {"lab": Answers()})
    return given


@each_lab
def test_starter_fails_exactly_its_named_checks(info, files):
    result = Lab(info, files).check(quiet=True)
    failing = {one.check for one in result.outcomes if one.status == "failed"}
    skipped = {one.check for one in result.outcomes if one.status == "skipped"}
    assert (failing, skipped) == (set(info.starter_fails), set(info.starter_skips)), str(result)
    assert not [one for one in result.outcomes if one.status == "error"], str(result)
    assert owned.entries() == []


@each_lab
def test_solution_passes_twice(info, files):
    for name in info.artifacts:
        shutil.copy(info.solution / name, files / name)
    lab = Lab(info, files)
    lab.answer(**answers_of_solution(info))
    for _ in range(2):
        result = lab.check(quiet=True)
        assert not result.failing, str(result)
        assert not [one for one in result.outcomes if one.status in ("error", "skipped")], str(result)
    assert owned.entries() == []


@each_lab
def test_points_add_up_and_every_check_has_three_hints(info):
    checks = load_checks(info.folder)
    assert sum(one.points for one in checks) == info.points
    hints = read_hints(info.folder / "hints.md")
    assert {one.name: len(hints.get(one.name, [])) for one in checks} == {one.name: 3 for one in checks}
    assert set(info.starter_fails) | set(info.starter_skips) <= {one.name for one in checks}


@each_lab
def test_what_the_repository_holds_is_the_untouched_starter(info):
    listed = subprocess.run(
        ["git", "-C", str(COURSE), "show", f"HEAD:labs/{info.name}/server.toml"], capture_output=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout. Bring it: git clone")
    assert listed.stdout == (info.starter / "server.toml").read_bytes()


@each_lab
def test_reset_brings_the_starter_back_and_loses_nothing(info, files):
    if not info.artifacts:
        pytest.skip("nothing to edit in this lab")
    name = info.artifacts[0]
    (files / name).write_text("# mine\n")
    lab = Lab(info, files)
    lab.answer(something=3)
    lab.reset()
    assert (files / name).read_bytes() == (info.starter / name).read_bytes()
    assert lab.answers() == {}
    kept = list((files / ".llmlab").glob(f"before-reset-*/{name}"))
    assert [path.read_text() for path in kept] == ["# mine\n"]


@each_lab
def test_papermill_runs_the_learners_notebook(info, files, tmp_path):
    """As an instructor would: in the shell's folder, on a submission, with a seed; the figures have alt text."""
    out = tmp_path / "out.ipynb"
    line = ["-m", "papermill", f"labs/{info.name}/lab.ipynb", str(out), "-p", "submission", str(files), "-p", "seed", "7"]
    done = subprocess.run(
        [sys.executable, *line, "--no-progress-bar", "--log-level", "ERROR"], cwd=COURSE, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = [
        output.data["text/html"]
        for cell in nbformat.read(out, 4).cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "text/html" in output.get("data", {})
    ]
    images = [page for page in pages if "<img" in page]
    assert images, "a lab has a figure"
    assert all('alt="' in page and 'alt=""' not in page for page in images)
    assert owned.entries() == []
    below = psutil.Process().children(recursive=True)
    assert not [one for one in below if "llama" in one.name() or "llmlab" in " ".join(one.cmdline())]


@each_lab
def test_solution_notebook_under_nbval(info, tmp_path):
    """The stored outputs of the cells that are deterministic are what a run gives."""
    course = tmp_path / "course"
    for name in ("labs", "solutions", "data"):
        shutil.copytree(COURSE / name, course / name, ignore=shutil.ignore_patterns("records", ".llmlab"))
    import os

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", f"solutions/{info.name}/lab.ipynb"],
        cwd=course,
        env=os.environ | {"LLMLAB_COURSE": str(course)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
