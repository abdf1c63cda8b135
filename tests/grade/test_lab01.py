"""The committed class of lab 01: graded by the command line, every row as tests/grade/submissions.toml says."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COURSE = HERE.parents[1]
EXPECTED = tomllib.loads((HERE / "submissions.toml").read_text(encoding="utf-8"))

pytestmark = [
    pytest.mark.full,
    pytest.mark.needs("process", "sandbox", "cpu-quota"),
    pytest.mark.timeout(1500),
]


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    root = tmp_path_factory.mktemp("lab01")
    env = os.environ | {"LLMLAB_STATE": str(root / "state"), "GRADER_SECRET": "hidden"}
    line = [
        sys.executable,
        "-m",
        "llmlab",
        "grade",
        "01",
        str(HERE / "submissions"),
        "--out",
        str(root / "grades"),
    ]
    done = subprocess.run(line, cwd=COURSE, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with open(root / "grades" / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["learner"]: row for row in csv.DictReader(file)}
    clean = [sys.executable, "-m", "llmlab", "clean", "--list"]
    left = subprocess.run(clean, env=env, capture_output=True, text=True).stdout
    return rows, root / "grades", left


def test_every_submission_has_a_row_and_nothing_is_left(graded):
    rows, _, left = graded
    assert set(rows) == set(EXPECTED)
    assert left == "nothing is running\n"


@pytest.mark.parametrize("name", EXPECTED)
def test_it_gets_what_it_deserves(graded, name):
    rows, out, _ = graded
    wanted, row = EXPECTED[name], rows[name]
    text = (out / row["key"] / "result.json").read_text(encoding="utf-8")
    found = json.loads(text)
    assert (out / row["key"] / "feedback.html").is_file()
    assert wanted.get("says", "") in text
    assert found["leftovers"] == []
    if wanted.get("refused"):
        assert found["status"] == "refused"
        return
    outcomes = found["result"]["outcomes"]
    assert [outcome["check"] for outcome in outcomes if outcome["status"] == "failed"] == wanted["fails"], (
        text
    )
    assert [outcome for outcome in outcomes if outcome["status"] == "error"] == []
    assert wanted["ran"] in (found["notebook"]["status"], "either"), text
    unsure = sum(outcome["max_points"] for outcome in outcomes if outcome["status"] == "inconclusive")
    assert wanted["points"] - unsure <= found_points(outcomes) <= wanted["points"]


def found_points(outcomes: list[dict]) -> float:
    return sum(outcome["points"] for outcome in outcomes)
