"""Submissions that once had full marks: an answer from a table, a promise kept for short replies only; graded by the command line.

The other two kinds, what could not be judged and a variable that starts a program, have rows in test_corpus.py.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llmlab.course.info import find_lab

COURSE = Path(__file__).parents[2]
FAULTS = {
    fault["id"]: fault for fault in tomllib.loads((COURSE / "data" / "faults.toml").read_text())["fault"]
}
#: Lab → the faults that are handed in there, each by a learner of that name, and the check that finds each; beside them
#: stand the worked files.
CLASSES = {
    "12": {"a-table-of-those-who-are-tried": "geography", "a-deadline-for-the-whole-stream": "streaming"},
    "13": {"a-table-of-known-networks": "nearest"},
}
NEEDS = {"12": ("process", "edge"), "13": ("process", "regions")}


def hand_in(folder: Path, lab: str, fault: dict | None) -> None:
    """The worked files, with one defect or none; no notebook, for these labs ask for no answers."""
    info = find_lab(lab, COURSE)
    folder.mkdir(parents=True)
    for name in info.artifacts:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(info.solution / name, folder / name)
    if fault:
        path = folder / fault["artifact"]
        before, after = fault["replace"]
        assert before in path.read_text()
        path.write_text(path.read_text().replace(before, after))


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "lab", [pytest.param(lab, marks=pytest.mark.needs(*needs)) for lab, needs in NEEDS.items()]
)
def test_a_submission_that_is_right_for_the_usual_questions_alone_loses_their_points(lab, tmp_path):
    info = find_lab(lab, COURSE)
    for learner in ("right", *CLASSES[lab]):
        hand_in(tmp_path / "submissions" / learner, lab, FAULTS.get(learner))
    line = [sys.executable, "-m", "llmlab", "grade", lab, str(tmp_path / "submissions")]
    line += ["--out", str(tmp_path / "grades"), "--jobs", "1"]
    env = os.environ | {"LLMLAB_STATE": str(tmp_path / "state"), "LLMLAB_COURSE": str(COURSE)}
    done = subprocess.run(line, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    with open(tmp_path / "grades" / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["learner"]: row for row in csv.DictReader(file)}
    assert float(rows["right"]["score"]) == info.points
    for learner, check in CLASSES[lab].items():
        found = json.loads((tmp_path / "grades" / rows[learner]["key"] / "result.json").read_text())
        outcomes = {outcome["check"]: outcome for outcome in found["result"]["outcomes"]}
        assert outcomes[check]["status"] == "failed", learner
        assert float(rows[learner]["score"]) == sum(it["points"] for it in outcomes.values()) < info.points
