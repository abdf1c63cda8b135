"""Gradescope's results.json says what its documentation names, and keeps hidden inputs until the due date."""

from __future__ import annotations

import json
from datetime import timedelta

import classroom as room
import pytest

from llmlab.grade.gradescope import results_json
from llmlab.grade.manual import Manual, ManualCheck

TOP = {
    "score", "execution_time", "output", "output_format", "test_output_format", "test_name_format", "visibility",
    "stdout_visibility", "extra_data", "tests",
}  # fmt: skip
TEST = {
    "score", "max_score", "status", "name", "name_format", "number", "output", "output_format", "visibility",
    "extra_data",
}  # fmt: skip


def document(graded, *, released=False, **kw):
    return json.loads(
        json.dumps(results_json(graded, room.scored(graded, **kw), released=released), allow_nan=False)
    )


def test_only_documented_keys_and_values():
    hand = Manual(points=1, comment="Fine.", checks={"knee": ManualCheck(1, 2, "Half.")})
    for graded in (room.rich(), room.refused(), room.broken()):
        found = document(graded, manual=hand)
        assert set(found) == TOP
        assert found["stdout_visibility"] == "hidden"
        for test in found["tests"]:
            assert set(test) <= TEST
            assert test["visibility"] in ("visible", "after_due_date")
            assert test.get("status") in (None, "passed", "failed")
            assert (test["output_format"], test["name_format"]) == ("text", "text")


def test_scores_and_statuses():
    found = document(room.rich(), manual=Manual(points=1.5, checks={"knee": ManualCheck(1, 2, "Half.")}))
    tests = {test["extra_data"]["check"]: test for test in found["tests"] if "extra_data" in test}
    assert found["score"] == pytest.approx(
        room.scored(room.rich(), manual=Manual(points=1.5, checks={"knee": ManualCheck(1, 2)})).score
    )
    assert (tests["starts"]["status"], tests["starts"]["score"], tests["starts"]["max_score"]) == (
        "passed",
        1,
        1,
    )
    assert (tests["context-per-slot"]["status"], tests["context-per-slot"]["score"]) == ("failed", 0)
    assert (tests["knee"]["status"], tests["knee"]["score"]) == ("failed", 1)
    assert "status" not in tests["counters"]
    assert "score" not in tests["counters"]
    assert "costs you nothing" in tests["counters"]["output"]
    assert "see it yourself: server = lab.serve" in tests["context-per-slot"]["output"]
    assert "Lateness costs" in found["output"]
    assert "photo.jpg" in found["output"]


@pytest.mark.parametrize("released", [False, True])
def test_hidden_inputs_are_a_test_of_their_own(released):
    found = document(room.rich(), released=released)
    last = found["tests"].pop()
    assert last["visibility"] == ("visible" if released else "after_due_date")
    assert room.SECRET in last["output"]
    assert str(room.SEED) in last["output"]
    assert "ctx_per_slot" in last["output"]
    rest = json.dumps(found)
    for secret in (room.SECRET, str(room.SEED), "ctx_per_slot", "/root/"):
        assert secret not in rest


def test_much_undecided_is_what_was_shown_and_never_scaled():
    found = document(room.undecided())
    assert found["score"] == 7, "Gradescope knows no row without a score"
    assert "so there is no score" in found["output"]


def test_nothing_hidden_no_test_of_it():
    assert len(document(room.graded())["tests"]) == 7


def test_a_grader_error_says_so_and_tells_nothing_of_the_grader():
    found = document(room.broken(), manual=None)
    assert "could not be graded yet" in found["output"]
    assert "costs you nothing" in found["output"]
    assert "/root" not in json.dumps(found)


@pytest.mark.parametrize("name", room.HOSTILE)
def test_hostile_evidence_is_plain_text(name):
    found = document(
        room.graded("k", knee=room.outcome("knee", "failed", observed=name), late=timedelta(days=1))
    )
    assert "\x1b" not in json.dumps(found)
    assert len(found["tests"][-1]["output"]) < 5000
