"""The cgroups around a sandbox: divided inside, removed afterwards, found again when the grader was killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmlab.grade.cage import Allowance, Cage
from llmlab.system import owned

pytestmark = pytest.mark.needs("memory-quota", "root")


def inside(cage: Cage):
    """A folder made by what runs inside, as a lab with a quota of its own does."""
    folder = cage.inside["memory"] / "llmlab-own"
    folder.mkdir()
    return folder


def test_what_was_divided_inside_goes_too():
    with Cage(Allowance()) as cage:
        folders = [inside(cage), *(path.parent for path in cage.join)]
        assert all(folder.is_dir() for folder in folders)
    assert not any(folder.exists() or folder.parent.exists() for folder in folders)
    assert (cage.outlived, owned.entries()) == ([], [])


def test_what_outlived_it_is_ended_and_named():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with Cage(Allowance()) as cage:
        (inside(cage) / "cgroup.procs").write_text(str(process.pid))
    assert process.wait(timeout=10) == -9
    assert cage.outlived[0].startswith(f"process {process.pid}: ")
    assert not cage.join[0].exists()


def test_after_a_killed_grader_clean_removes_all_of_it():
    code = (
        "import os\nfrom llmlab.grade.cage import Allowance, Cage\ncage = Cage(Allowance()).__enter__()\n"
        "(cage.inside['memory'] / 'llmlab-own').mkdir()\nprint(cage.join[0].parent.parent, flush=True)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    folder = done.stdout.strip()
    assert [entry.kind for entry in owned.entries()] == ["cgroup"], done.stderr
    owned.clean()
    assert owned.entries() == []
    left = subprocess.run(
        ["find", "/sys/fs/cgroup", "-name", folder.rpartition("/")[2]], capture_output=True, text=True
    )
    assert left.stdout == ""


def test_killed_while_it_is_made_it_is_found_all_the_same():
    """The registry knows it before the first folder is there."""
    code = (
        "import os\nfrom llmlab.grade import cage\nmake = cage.make_cgroup\n"
        "def once(*args, **kw):\n    made = make(*args, **kw)\n    print(made, flush=True)\n    os.kill(os.getpid(), 9)\n"
        "cage.make_cgroup = once\ncage.Cage(cage.Allowance()).__enter__()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    folder = Path(done.stdout.strip())
    assert folder.is_dir(), done.stderr
    owned.clean()
    assert not folder.exists()
