"""Every lab, proved: starter red with exactly its named checks, solution green (in its notebook), reset byte-identical, nothing left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import psutil
import pytest

from llmlab.checks import load_checks
from llmlab.course.hints import read_hints
from llmlab.course.info import all_labs, find_lab
from llmlab.course.progress import last_result
from llmlab.course.reset import reset
from llmlab.lab import Lab
from llmlab.system import owned

pytestmark = pytest.mark.timeout(900)  # a notebook with a cluster, and the cluster of its check, take minutes
COURSE = Path(__file__).resolve().parents[2]
LABS = all_labs(COURSE)
each_lab = pytest.mark.parametrize(
    "info", [pytest.param(info, id=info.name, marks=pytest.mark.needs(*info.needs)) for info in LABS]
)
STEPS = 50  # minutes for a learner: the notebook of a longer lab checks the whole only
SHORT = 15  # minutes for a learner: a longer notebook runs with --full, and keeps a line in the ledger
each_notebook = pytest.mark.parametrize(
    "info",
    [
        pytest.param(
            info,
            id=info.name,
            marks=[pytest.mark.needs(*info.needs), *([pytest.mark.ledger] if info.minutes > SHORT else [])],
        )
        for info in LABS
    ],
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


def assert_green(result) -> None:
    assert not result.failing, str(result)
    assert not [outcome for outcome in result.outcomes if outcome.status in ("error", "skipped")], str(result)


@each_lab
def test_points_add_up_and_every_check_has_three_hints(info):
    checks = load_checks(info.folder)
    assert sum(check.points for check in checks) == info.points
    hints = read_hints(info.folder / "hints.md")
    assert {check.name: len(hints.get(check.name, [])) for check in checks} == {
        check.name: 3 for check in checks
    }
    assert set(info.starter_fails) | set(info.starter_skips) <= {check.name for check in checks}


@each_lab
def test_what_the_repository_holds_is_the_untouched_starter(info):
    for name in info.artifacts:
        listed = subprocess.run(
            ["git", "-C", str(COURSE), "show", f"HEAD:labs/{info.name}/{name}"], capture_output=True
        )
        if listed.returncode:
            pytest.skip("not a git checkout. Bring it: git clone")
        assert listed.stdout == (info.starter / name).read_bytes(), name


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


# How much work the notebooks do, not what they teach: the tests take the smallest.
SMALL = {"LLMLAB_PROFILE": "binder"}


def small(info):
    """... and of a long lab only the check of the whole: its steps are the same checks, deployed once more each."""
    return SMALL | ({"LLMLAB_STEPS": "off"} if info.minutes > STEPS else {})


@each_notebook
def test_papermill_runs_the_starter_and_exactly_its_named_checks_fail(info, files, tmp_path):
    """As an instructor would: in the shell's folder, on a submission, with a seed; the figures have alt text.

    Where others take the CPU, what only a quiet machine can tell may be undecided; it is never passed.
    """
    out = tmp_path / "out.ipynb"
    others = set(psutil.Process().children(recursive=True))  # fixtures of other modules may hold servers
    line = [
        "-m",
        "papermill",
        f"labs/{info.name}/{info.notebook.name}",
        str(out),
        "-p",
        "submission",
        str(files),
        "-p",
        "seed",
        "7",
    ]
    line += ["--no-progress-bar", "--log-level", "ERROR"]
    done = subprocess.run(
        [sys.executable, *line], cwd=COURSE, env=os.environ | small(info), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result = last_result(files)
    assert result is not None
    by = {
        word: {outcome.check for outcome in result.outcomes if outcome.status == word}
        for word in ("failed", "skipped", "error")
    }
    timed = {check.name for check in load_checks(info.folder) if check.timed}
    undecided = {outcome.check for outcome in result.outcomes if outcome.status == "inconclusive"}
    by["failed"] |= undecided & timed & set(info.starter_fails) if by["failed"] else set()
    assert by == {"failed": set(info.starter_fails), "skipped": set(info.starter_skips), "error": set()}, str(
        result
    )
    assert result.seed == 7
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
    below = set(psutil.Process().children(recursive=True)) - others
    assert not [
        process for process in below if "llama" in process.name() or "llmlab" in " ".join(process.cmdline())
    ]


@each_notebook
def test_solution_passes(info, files, tmp_path, request):
    """Its notebook runs to its end under nbval, with its own check green in it; a long one (a minute and more on two cores) only with
    --full: else the same check on the same files, without the notebook.
    """
    if info.minutes <= SHORT or request.config.getoption("--full"):
        result = in_its_notebook(info, tmp_path)
    else:
        for name in info.artifacts:
            shutil.copy(info.solution / name, files / name)
        if (info.solution / "records").is_dir():
            shutil.copytree(info.solution / "records", files / "records")
        lab = Lab(info, files)
        lab.answer(**answers_of_solution(info))
        result = lab.check(quiet=True)
    assert_green(result)
    assert owned.entries() == []


def in_its_notebook(info, tmp_path):
    """Run the solution notebook under nbval in a copy of the course: what is deterministic in it gives the stored output."""
    course = tmp_path / "course"
    for name in ("labs", "solutions", "data"):
        # The worked files of a lab may stand on records, which belong to them; what a learner measured in `labs` does not.
        ignored = (".llmlab",) if name == "solutions" else ("records", ".llmlab")
        shutil.copytree(COURSE / name, course / name, ignore=shutil.ignore_patterns(*ignored))
    # Without pytest-randomly, where that is installed: it would shuffle the cells of a notebook too.
    line = [
        "-m",
        "pytest",
        "--nbval",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        f"solutions/{info.name}/lab.ipynb",
    ]
    line += [
        "--nbval-cell-timeout",
        "600",
    ]  # of a kernel that has ended nbval 0.11 hears nothing, and waits 2,000 s
    env = os.environ | small(info) | {"LLMLAB_COURSE": str(course)}
    done = subprocess.run([sys.executable, *line], cwd=course, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    return last_result(course / "solutions" / info.name)


FAULTS = tomllib.loads((COURSE / "data" / "faults.toml").read_text())["fault"]


@pytest.mark.full
@pytest.mark.by_hand
@pytest.mark.parametrize("fault", [pytest.param(fault, id=fault["id"]) for fault in FAULTS])
def test_each_fault_is_caught_by_its_checks(fault, tmp_path):
    """The worked files with one defect: exactly the named checks fail (what depends on them is skipped)."""
    from llmlab import doctor

    info = find_lab(fault["lab"], COURSE)
    for need in info.needs:
        if not doctor.need(need).met:
            pytest.skip(f"{need}: {doctor.need(need).detail}. Bring it: {doctor.need(need).mend}")
    files = tmp_path / "work"
    shutil.copytree(
        info.solution, files, ignore=shutil.ignore_patterns("*.ipynb", "lab.py", "starter", ".llmlab")
    )
    for artifact, before, after in [(fault["artifact"], *fault["replace"]), *fault.get("also", [])]:
        text = (files / artifact).read_text()
        assert before in text, f"the fault no longer fits the worked {artifact}"
        (files / artifact).write_text(text.replace(before, after))
    lab = Lab(info, files)
    lab.answer(**answers_of_solution(info))
    result = lab.check(quiet=True)
    assert result.failing == fault["fails"], str(result)
    assert owned.entries() == []


@pytest.mark.full
@pytest.mark.needs("process")
def test_the_command_line_says_red_on_a_fresh_clone_and_green_with_the_solutions_files(tmp_path):
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md")
    for name in ("labs", "solutions", "data"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    info = find_lab("01", tmp_path)
    line = [sys.executable, "-m", "llmlab", "check", "01"]
    env = os.environ | {"LLMLAB_COURSE": str(tmp_path)}
    red = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert red.returncode == 1
    assert all(f"✘ {name}" in red.stdout for name in info.starter_fails)
    shutil.copytree(info.solution, info.folder, dirs_exist_ok=True)
    green = subprocess.run(line, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert green.returncode == 0, green.stdout
