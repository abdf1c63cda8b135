"""What of a checkout is the course, and when two are the same."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from llmlab.image import contents

ROOT = contents.checkout()


@pytest.fixture(scope="module")
def course(tmp_path_factory) -> Path:
    """A copy, as the image holds one."""
    folder = tmp_path_factory.mktemp("course")
    for path in contents.files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, folder / path)
    return folder


def test_the_course_is_what_git_has_of_these_parts():
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *contents.PARTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if tracked.returncode:
        pytest.skip("no git here, or no clone")
    there = [name for name in tracked.stdout.split("\0") if name and (ROOT / name).exists()]
    assert sorted(map(str, contents.files())) == sorted(there)


def test_docker_is_told_the_same_parts():
    lines = (ROOT / "binder" / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(contents.PARTS)
    assert {line.removeprefix("**/") for line in lines if line.startswith("**/")} == contents.LEFT


def test_a_copy_has_the_same_fingerprint(course):
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", contents.fingerprint())
    assert contents.fingerprint(course) == contents.fingerprint()


@pytest.mark.parametrize(
    "name",
    [
        "labs/index.md",
        "labs/01-one-server/records/run.json",
        "llmlab/__pycache__/a.pyc",
        "labs/01-one-server/.llmlab/a",
    ],
)
def test_what_work_leaves_is_not_the_course(course, name):
    before = contents.fingerprint(course)
    path = course / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("left")
    assert contents.fingerprint(course) == before
    path.unlink()


def test_any_edit_is_seen(course):
    seen = {contents.fingerprint(course)}
    path = course / "labs" / "01-one-server" / "checks.py"
    text = path.read_text()
    for edit in (
        lambda: path.write_text(text + "\n"),
        lambda: path.chmod(0o755),
        lambda: path.rename(path.with_name("other.py")),
    ):
        edit()
        seen.add(contents.fingerprint(course))
    assert len(seen) == 4
