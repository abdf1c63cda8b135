"""Submissions as strangers' tools leave them: what is read of each, and what a whole class of them gets."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tinylab

from llmlab.course.info import find_lab
from llmlab.submissions.handed_in import handed_in, learners_in
from llmlab.submissions.submission import take

HERE = Path(__file__).parent
COURSE = HERE.parents[1]
CASES = {
    path.parent.name: case
    for path in sorted(HERE.glob("*/case.toml"))
    if (case := tomllib.loads(path.read_text(encoding="utf-8")))["kind"] == "grade"
}
LEARNERS = [(name, learner) for name, case in CASES.items() for learner in case["expect"]["learners"]]


def expected(name: str) -> dict:
    return CASES[name]["expect"]


@pytest.mark.parametrize("name", CASES)
def test_everybody_is_there_once(name):
    folder = HERE / name / "submissions"
    info = find_lab(CASES[name]["lab"], COURSE)
    found = handed_in(folder, info)
    assert [submission.learner for submission in found] == list(expected(name)["learners"])
    assert len({submission.key.casefold() for submission in found}) == len(found)
    where = [str(path.relative_to(folder)) for path in learners_in(folder, info)]
    assert where == (expected(name)["class_folders"] or ["."])


@pytest.mark.parametrize(("name", "learner"), LEARNERS)
def test_what_is_read_of_it(name, learner, tmp_path):
    info = find_lab(CASES[name]["lab"], COURSE)
    wanted = expected(name)["learners"][learner]
    [one] = [
        submission
        for submission in handed_in(HERE / name / "submissions", info)
        if submission.learner == learner
    ]
    taken = take(one.source, info, tmp_path / "taken")
    assert taken.cells == wanted["answers"]
    assert [*one.remarks, *taken.remarks] == wanted["remarks"]
    assert taken.artifacts == (() if "refused" in wanted else info.artifacts)


def test_a_checkpoint_of_jupyters_is_in_the_case():
    """Git ignores such folders; the case is worth nothing without it."""
    kept = HERE / "class-in-one-folder/submissions/Abgaben_Uebung_01/Kopie_Karl_kkopie2s_6789012"
    assert (kept / ".ipynb_checkpoints" / "lab-checkpoint.ipynb").is_file()


@pytest.mark.full
@pytest.mark.by_hand  # measuring is exclusive: minutes in which no other lab measures
@pytest.mark.needs("process", "sandbox", "cpu-quota")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", CASES)
def test_what_the_class_gets(name, tmp_path):
    """Graded by the command line: nobody's row is an error, nobody is missing."""
    out = tmp_path / "grades"
    line = ["-m", "llmlab", "grade", CASES[name]["lab"], str(HERE / name / "submissions"), "--out", str(out)]
    env = os.environ | {"LLMLAB_STATE": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, *line], cwd=COURSE, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for folder in expected(name)["class_folders"]:
        assert f"The learners are what lies in {folder}." in done.stdout
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["learner"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted(expected(name)["learners"])
    for learner, wanted in expected(name)["learners"].items():
        found = json.loads((out / rows[learner]["key"] / "result.json").read_text(encoding="utf-8"))
        if "refused" in wanted:
            assert found["status"] == "refused"
            assert wanted["refused"] in found["reason"]
            continue
        assert found["status"] == "graded", found
        assert set(wanted["remarks"]) <= set(found["remarks"])
        outcomes = found["result"]["outcomes"]
        assert [outcome for outcome in outcomes if outcome["status"] == "error"] == []
        unsure = sum(outcome["max_points"] for outcome in outcomes if outcome["status"] == "inconclusive")
        points = sum(outcome["points"] for outcome in outcomes)
        assert wanted["points"] - unsure <= points <= wanted["points"], (learner, outcomes)


def from_elsewhere(name: str) -> str:
    """The tiny lab's notebook with the right answers, as a tool leaves it."""
    document = tinylab.document()
    cells = document["cells"]
    if name != "string":
        document["nbformat_minor"] = 4 if name == "vscode" else 0
        for cell in cells:
            cell["metadata"] = cell["metadata"] if name == "vscode" else {"id": cell.pop("id") + "Xy9Q"}
            cell.pop("id", None)
    if name == "vscode":
        document["metadata"] = {"kernelspec": {"display_name": ".venv (3.12.4)", "name": "venv"}}
    if name == "string":
        for cell in cells:
            cell["metadata"]["tags"] = " ".join(cell["metadata"].get("tags", []))
    return json.dumps(document)


@pytest.mark.needs("process")
@pytest.mark.timeout(600)
def test_a_small_class_from_elsewhere_is_graded_whole(tmp_path):
    """Every way an answer is found, run and graded by the command line; one who handed in nothing stops nobody."""
    info = tinylab.make(tmp_path / "course")
    inside = tmp_path / "submissions" / "Abgaben"
    for name in ("colab", "vscode", "string"):
        tinylab.hand_in(inside / name, raw=from_elsewhere(name))
    (inside / "empty").mkdir()
    (inside / "empty" / "note.txt").write_text("sorry")
    out = tmp_path / "grades"
    line = ["-m", "llmlab", "grade", str(info.folder), str(tmp_path / "submissions"), "--out", str(out)]
    env = os.environ | {"LLMLAB_STATE": str(tmp_path / "state")}
    done = subprocess.run([sys.executable, *line], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "The learners are what lies in Abgaben." in done.stdout
    found = {path.parent.name: json.loads(path.read_text()) for path in out.glob("*/result.json")}
    assert {name: result["status"] for name, result in found.items()} == {
        "colab": "graded", "vscode": "graded", "string": "graded", "empty": "refused",
    }  # fmt: skip
    for name in ("colab", "vscode", "string"):
        assert found[name]["answers"] == {"slots": 2, "word": "slot"}
        assert [outcome["status"] for outcome in found[name]["result"]["outcomes"]] == ["passed"] * 4, found[
            name
        ]
    assert "found by their text (lab.answer(slots=…, word=…))" in " ".join(found["colab"]["remarks"])
    assert "note.txt is none of this lab's files" in " ".join(found["empty"]["remarks"])
