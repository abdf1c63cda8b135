"""README: its commands run, its links lead somewhere, and what it says of the labs is what they say."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab.cli.main import _parser

COURSE = Path(__file__).resolve().parents[2]
README = (COURSE / "README.md").read_text("utf-8")
#: What others run: CI's stages and tests/browser (the two commands), tests/grade (a class, papermill on what was handed in).
ELSEWHERE = ("pip install uv && uv run llmlab", "pip install uv && uv run pytest", "uv run papermill")
LINES = [
    line
    for block in re.findall(r"^```\w*\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
HERE = [line for line in LINES if not line.startswith(ELSEWHERE)]
#: A command that ends with 1 is right too: the starter of lab 01 does not pass.
CODES = {"uv run llmlab check 01": {1}}


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A learner's, as a folder that was copied; what the commands write stays in it."""
    folder = tmp_path_factory.mktemp("clone")
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs", "solutions", "data"):
        shutil.copytree(COURSE / name, folder / name, ignore=skip)
    return folder


def test_there_are_commands_to_run():
    assert len(HERE) >= 5
    assert all(any(line.startswith(other) for line in LINES) for other in ELSEWHERE)


@pytest.mark.needs("process")
def test_the_commands_of_a_block_run_one_after_the_other(clone):
    env = os.environ | {"LLMLAB_COURSE": str(clone), "LLMLAB_PROFILE": "binder"}
    for line in HERE:
        words = shlex.split(line)
        assert words[:3] == ["uv", "run", "llmlab"], line
        done = subprocess.run(
            [sys.executable, "-m", *words[2:]], cwd=clone, env=env, capture_output=True, text=True
        )
        assert done.returncode in CODES.get(line, {0}), f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert done.stdout.strip(), line


def test_commands_in_the_text_are_ones_that_there_are(monkeypatch):
    found = re.findall(r"`(?:uv run )?llmlab ([a-z][^`]*)`", README)
    assert len(found) > 10
    for command in found:
        words = shlex.split(command)
        if (words[0] == "grade" and len(words) == 1) or words in (["check"], ["cluster"]):
            words = [words[0], "--help"]  # the verb alone is spoken of
        code = 0
        try:
            _parser().parse_args(words)
        except SystemExit as end:  # of --help, or of a usage that is wrong
            code = end.code
        assert code == 0, command


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)\s]+)\)", README):
        assert link.startswith("https://") or (COURSE / link.partition("#")[0]).exists(), link


def test_the_first_screen_has_what_one_looks_for():
    top = README[: README.index("In a lab you edit files")]
    for part in ("![", "uv run llmlab", "uv run pytest", "Start lab 00 →", "no GPU is needed", "| 00 |", "▓"):
        assert part in top, part
    assert README.index("![") < README.index("uv run llmlab") < README.index("Start lab 00")
