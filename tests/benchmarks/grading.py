"""What one submission costs: `llmlab grade` beside nbgrader and otter, whole process trees, from exec to exit.

The same work for all: a notebook with three answers (x = 4, y = "four", z = [1, 2]; the learner's z is wrong) and a test
of each. nbgrader and otter have no jobs of their own: for two, two of them run side by side in folders of their own, as
their users do. Feedback pages are in llmlab's time; nbgrader would make them with a command more. Every run's
points are looked at, so that nobody is quick by not grading.

The rivals live in environments of their own, named by LLMLAB_NBGRADER and LLMLAB_OTTER (their executables).
"""

from __future__ import annotations

import contextlib
import copy
import csv
import json
import os
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import nbformat
import psutil
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from llmlab.grade import sandbox
from llmlab.records.stats import Spread

from .whole import Broken

LIMIT = 600  # seconds for one run of a tool

ANSWERS = {"x": "4", "y": '"four"', "z": "[1, 2]"}
LEARNER = ANSWERS | {"z": "[1, 3]"}
EARNED = 2.0  # of three points
MEND = "python -m venv /tmp/rivals/{0} && /tmp/rivals/{0}/bin/pip install {1} ipykernel, then {2}=/tmp/rivals/{0}/bin/{0}"

# Starts the lanes and waits for all that came of them. A subreaper: bubblewrap and Jupyter leave their last process to
# whoever is above, and the CPU time of a process that nobody waits for is counted nowhere.
METER = """
import ctypes, json, os, resource, signal, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
began = time.perf_counter()
code = subprocess.call(["/bin/sh", "-c", sys.argv[1]], stdout=open("said", "wb"), stderr=subprocess.STDOUT)
wall = time.perf_counter() - began
signal.alarm(10)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({"wall": wall, "cpu": used.ru_utime + used.ru_stime}))
"""


class Grader(Protocol):
    """One tool and the assignment made ready for it."""

    name: str
    env: dict[str, str]

    def lay(self, folder: Path, names: Sequence[str], jobs: int) -> list[list[str]]:
        """Put the submissions down; returns lanes that run side by side, each a list of shell commands."""
        ...

    def points(self, folder: Path) -> list[float]:
        """What each submission earned."""
        ...


class Llmlab:
    """A lab of three answers and no server."""

    name = "llmlab"

    def __init__(self, home: Path) -> None:
        self.lab = home / "course" / "labs" / "90-trivial"
        self.lab.mkdir(parents=True)
        toml = 'title = "Three answers"\nminutes = 5\nobjectives = ["answer"]\nneeds = []\nartifacts = []\npoints = 3\n'
        (self.lab / "lab.toml").write_text(toml)
        checks = ["from llmlab.checks import check, failed, passed"]
        hints = []
        for name, right in ANSWERS.items():
            checks += ["", "", f'@check(title="You know {name}", points=1)', f"def {name}(ctx):"]
            checks += [f"    verdict = passed if ctx.answers.get({name!r}) == {right} else failed"]
            checks += [f'    return verdict(expected={right!r}, observed=repr(ctx.answers.get("{name}")))']
            hints += [f"## {name}\n\n1. A nudge.\n2. Where to look.\n3. Nearly it.\n"]
        (self.lab / "checks.py").write_text("\n".join(checks) + "\n")
        (self.lab / "hints.md").write_text("\n".join(hints))
        cells = [new_markdown_cell("# Three answers", id="title")]
        cells.append(
            new_code_cell("submission = None\nseed = 0", id="parameters", metadata={"tags": ["parameters"]})
        )
        begin = (
            'from llmlab import Lab\n\nlab = Lab.here("90-trivial", submission=submission, seed=seed)\nlab'
        )
        cells.append(new_code_cell(begin, id="lab"))
        for name in ANSWERS:
            tagged = {"tags": ["answer"]}
            cells.append(new_code_cell(f"{name} = None\nlab.answer({name}={name})", id=name, metadata=tagged))
        cells.append(new_code_cell("lab.check()", id="check"))
        book = _notebook(cells)
        nbformat.write(book, self.lab / "lab.ipynb")
        self.handed = _filled(
            book, {name: (f"{name} = None", f"{name} = {x}") for name, x in LEARNER.items()}
        )
        self.env = {key: x for key, x in os.environ.items() if not key.startswith("PYTHON")}

    def lay(self, folder: Path, names: Sequence[str], jobs: int) -> list[list[str]]:
        for name in names:
            _put(self.handed, folder / "submissions" / name / "lab.ipynb")
        line = [sys.executable, "-m", "llmlab", "grade", str(self.lab), str(folder / "submissions")]
        return [[shlex.join([*line, "--out", str(folder / "out"), "--jobs", str(jobs)])]]

    def points(self, folder: Path) -> list[float]:
        with (folder / "out" / "gradebook.csv").open(encoding="utf-8-sig", newline="") as file:
            return [float(row["points"]) for row in csv.DictReader(file)]


class Nbgrader:
    """`nbgrader autograde`, after `generate_assignment` (not timed)."""

    def __init__(self, executable: str, home: Path) -> None:
        self.executable = executable
        self.name = f"nbgrader {_version(executable, 'nbgrader version ')}"
        self.env = _own_home(home, executable)
        self.course = home / "course"
        cells = []
        for name, right in ANSWERS.items():
            code = f"### BEGIN SOLUTION\n{name} = {right}\n### END SOLUTION"
            cells.append(new_code_cell(code, metadata=_theirs(name, solution=True)))
            cells.append(
                new_code_cell(
                    f"assert {name} == {right}", metadata=_theirs(f"test-{name}", grade=True, points=1)
                )
            )
        _put(_notebook(cells), self.course / "source" / "trivial" / "lab.ipynb")
        _quietly([executable, "generate_assignment", "trivial", "--create"], self.course, self.env)
        book = nbformat.read(self.course / "release" / "trivial" / "lab.ipynb", 4)
        for cell in book.cells:
            name = cell.metadata["nbgrader"]["grade_id"]
            cell.source = f"{name} = {LEARNER[name]}" if name in LEARNER else cell.source
        self.handed = book

    def lay(self, folder: Path, names: Sequence[str], jobs: int) -> list[list[str]]:
        lanes = []
        for lane in range(jobs):
            course = folder / f"lane{lane}"
            shutil.copytree(self.course, course)
            for name in names[lane::jobs]:
                _put(self.handed, course / "submitted" / name / "trivial" / "lab.ipynb")
            lanes.append(
                [shlex.join(["cd", str(course)]), shlex.join([self.executable, "autograde", "trivial"])]
            )
        return lanes

    def points(self, folder: Path) -> list[float]:
        earned = []
        for file in sorted(folder.glob("lane*/gradebook.db")):
            with sqlite3.connect(file) as base:
                ask = "select sum(coalesce(auto_score, 0)) from grade group by notebook_id"
                earned += [float(row[0]) for row in base.execute(ask)]
        return earned


class Otter:
    """`otter run`, one process a submission (it takes no more), after `otter assign` (not timed)."""

    def __init__(self, executable: str, home: Path) -> None:
        self.executable = executable
        self.name = f"otter {_version(executable, 'Otter-Grader version: ')}"
        self.env = _own_home(home, executable)
        cells = [
            new_raw_cell("# ASSIGNMENT CONFIG\ninit_cell: true\nexport_cell: false\ncheck_all_cell: false")
        ]
        for name, right in ANSWERS.items():
            cells += [new_raw_cell(f"# BEGIN QUESTION\nname: {name}\npoints: 1")]
            cells += [new_raw_cell("# BEGIN SOLUTION"), new_code_cell(f"{name} = {right} # SOLUTION")]
            cells += [
                new_raw_cell("# END SOLUTION"),
                new_raw_cell("# BEGIN TESTS"),
                new_code_cell(f"assert {name} == {right}"),
            ]
            cells += [new_raw_cell("# END TESTS"), new_raw_cell("# END QUESTION")]
        _put(_notebook(cells), home / "lab.ipynb")
        line = [executable, "assign", "lab.ipynb", "dist", "--no-pdfs", "--no-run-tests"]
        _quietly(line, home, self.env)
        (self.zip,) = (home / "dist" / "autograder").glob("*.zip")
        book = nbformat.read(home / "dist" / "student" / "lab.ipynb", 4)
        for cell in book.cells:
            for name, answer in LEARNER.items():
                if cell.source.strip() == f"{name} = ...":
                    cell.source = f"{name} = {answer}"
        self.handed = book

    def lay(self, folder: Path, names: Sequence[str], jobs: int) -> list[list[str]]:
        lanes: list[list[str]] = [[] for _ in range(jobs)]
        for number, name in enumerate(names):
            _put(self.handed, folder / name / "lab.ipynb")
            line = [self.executable, "run", "--no-logo", "-a", str(self.zip), "-o", str(folder / name)]
            lanes[number % jobs].append(shlex.join([*line, str(folder / name / "lab.ipynb")]))
        return lanes

    def points(self, folder: Path) -> list[float]:
        earned = []
        for file in sorted(folder.glob("*/results.json")):
            tests = json.loads(file.read_text())["tests"]
            earned.append(
                sum(test["score"] for test in tests if test.get("score") and test["name"] in ANSWERS)
            )
        return earned


def measure(tool: Grader, submissions: int, jobs: int) -> tuple[float, float]:
    """Grade that many: (seconds, CPU-seconds), from exec to exit, in a folder that is thrown away.

    :raises Broken: it failed, or a submission did not earn what it deserves.
    """
    names = [f"learner{number:02}" for number in range(1, submissions + 1)]
    with tempfile.TemporaryDirectory(prefix="llmlab-grading-") as text:
        folder = Path(text)
        lanes = tool.lay(folder, names, jobs)
        script = " & ".join(f"( {' && '.join(lane)} )" for lane in lanes if lane) + " & wait"
        spent = _metered(script, folder, tool.env)
        try:
            earned = tool.points(folder)
        except (OSError, KeyError, ValueError, sqlite3.Error) as problem:
            earned = [problem]  # type: ignore[list-item]
        if earned != [EARNED] * submissions:
            said = (folder / "said").read_text(errors="replace").strip()[-600:]
            raise Broken(f"it should have given {EARNED:g} points to each of {submissions}: {earned}\n{said}")
        return spent["wall"], spent["cpu"]


def grading(rounds: int, many: int, few: int) -> list[str]:
    """The lines to print: each tool with `many` and with `few` submissions, at one and at two jobs."""
    lines = [
        f"grading, per submission of {many}, three trivial tests, {rounds} rounds; llmlab in {sandbox.kind()}"
    ]
    with tempfile.TemporaryDirectory(prefix="llmlab-rivals-") as text:
        tools: list[Grader] = [Llmlab(_folder(text, "llmlab"))]
        for make, variable, name, package in (
            (Nbgrader, "LLMLAB_NBGRADER", "nbgrader", "nbgrader==0.9.6"),
            (Otter, "LLMLAB_OTTER", "otter", "otter-grader==7.0.0"),
        ):
            found = shutil.which(os.environ.get(variable) or name)
            if found is None:
                lines.append(f"  {name}: not found, so not measured ({MEND.format(name, package, variable)})")
                continue
            try:
                tools.append(make(str(Path(found).absolute()), _folder(text, name)))
            except Broken as problem:
                lines.append(f"  {name} ({found}) failed, so not measured: {problem}")
        for tool in list(tools):
            try:
                measure(tool, 1, 1)  # its caches are warm afterwards; not counted
            except Broken as problem:
                tools.remove(tool)
                lines.append(f"  {tool.name} failed, so not measured: {problem}")
        for jobs in (1, 2):
            spent: dict[str, list[tuple[float, float, float, float]]] = {tool.name: [] for tool in tools}
            for turn in range(rounds):
                for tool in tools[:: 1 if turn % 2 else -1]:
                    try:
                        wall, cpu = measure(tool, many, jobs)
                        start, start_cpu = measure(tool, few, jobs)
                    except Broken as problem:
                        lines.append(f"  {tool.name}, round {turn + 1}, {jobs} at a time: {problem}")
                        continue
                    beyond = ((wall - start) / (many - few), (cpu - start_cpu) / (many - few))
                    spent[tool.name].append((wall / many, cpu / many, *beyond))
            lines += _table(spent, jobs)
    return lines


def _table(spent: dict[str, list[tuple[float, float, float, float]]], jobs: int) -> list[str]:
    lines = [f"  {jobs} at a time"]
    ours = [times[0] for times in spent.get(Llmlab.name, ())]
    for name, rounds in spent.items():
        if not rounds:
            continue
        wall, cpu, more, more_cpu = (Spread.of(times) for times in zip(*rounds, strict=True))
        beside = f" | {wall.median / Spread.of(ours).median:.1f} times llmlab's" if ours else ""
        lines.append(f"  {name:15} seconds {wall} | CPU-s {cpu}{beside if name != Llmlab.name else ''}")
        lines.append(f"  {'':15} without start-up: seconds {more} | CPU-s {more_cpu}")
    return lines


def _metered(script: str, folder: Path, env: dict[str, str]) -> dict[str, float]:
    """Run it in that folder to its end; its tree ends with this call, whatever happens."""
    line = [sys.executable, "-c", METER, script]
    meter = subprocess.Popen(line, cwd=folder, env=env, stdout=subprocess.PIPE)
    try:
        out, _ = meter.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise Broken(f"no end within {LIMIT} s") from None
    finally:
        if meter.poll() is None:
            for process in psutil.Process(meter.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            meter.kill()
            meter.wait()
    if meter.returncode:
        raise Broken(
            f"something of it was still running after its end (the meter's code: {meter.returncode})"
        )
    spent: dict[str, float] = json.loads(out)
    return spent


def _notebook(cells: list[Any]) -> Any:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _filled(book: Any, changes: dict[str, tuple[str, str]]) -> Any:
    book = copy.deepcopy(book)
    for cell in book.cells:
        if cell.id in changes:
            cell.source = cell.source.replace(*changes[cell.id])
    return book


def _put(book: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(book, path)


def _theirs(name: str, *, solution: bool = False, grade: bool = False, **more: Any) -> dict[str, Any]:
    """nbgrader's cell metadata, schema 3."""
    kinds = {"grade": grade, "solution": solution, "locked": grade, "task": False}
    return {"nbgrader": {"schema_version": 3, "grade_id": name, **kinds, **more}}


def _folder(parent: str, name: str) -> Path:
    path = Path(parent) / name
    path.mkdir()
    return path


def _own_home(home: Path, executable: str) -> dict[str, str]:
    """As if its environment were activated, with a home of its own: what a user set for Jupyter or IPython is out."""
    kept = {key: x for key, x in os.environ.items() if not key.startswith(("JUPYTER", "IPYTHON", "PYTHON"))}
    path = os.pathsep.join([str(Path(executable).parent), os.environ.get("PATH", os.defpath)])
    return kept | {"HOME": str(home), "PATH": path}


def _quietly(line: list[str], folder: Path, env: dict[str, str]) -> str:
    try:
        done = subprocess.run(
            line, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=True
        )
    except subprocess.CalledProcessError as problem:
        raise Broken((problem.stdout + problem.stderr).strip()[-600:]) from None
    except (OSError, subprocess.SubprocessError) as problem:
        raise Broken(str(problem)) from None
    return done.stdout


def _version(executable: str, after: str) -> str:
    said = _quietly([executable, "--version"], Path.cwd(), dict(os.environ))
    return next(
        (line.removeprefix(after).strip() for line in said.splitlines() if line.startswith(after)), "?"
    )
