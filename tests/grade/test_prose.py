"""Answers in prose: on the page with what the instructor says of them, unanswered ones named, points the instructor's alone."""

from __future__ import annotations

import dataclasses
import tomllib

import classroom as room
import msgspec
import pytest

from llmlab.course.info import Question, find_lab
from llmlab.errors import LabError
from llmlab.grade.feedback import feedback_page
from llmlab.grade.manual import Manual, ManualCheck, ensure_template, read_manual
from llmlab.grade.scores import score

QUESTIONS = (
    Question("regions", "What does a second region cost?", ("names who waits", "says what is lost"), 2),
    Question("cost", "What do you change first?", ("has a figure",)),
)
INFO = dataclasses.replace(room.INFO, questions=QUESTIONS)


def scored(answers: dict, manual: Manual | None = None):
    graded = msgspec.structs.replace(room.graded("ann"), answers=answers)
    return graded, score(
        graded, full=INFO.points, due=None, rule=None, manual=manual, questions=INFO.questions
    )


def page(answers: dict, manual: Manual | None = None) -> str:
    graded, points = scored(answers, manual)
    return feedback_page(graded, points, INFO, {}, released=False)


def test_each_question_stands_there_with_its_answer_and_an_open_one_is_said():
    text = page({"knee": 3, "regions": "Two lines\n<b>of mine</b>"})
    assert "For a human to read" in text
    assert "1 of 2 answered" in text
    assert "Two lines\n&lt;b&gt;of mine&lt;/b&gt;" in text
    assert text.count("not answered") == 1
    assert text.count("not read yet") == 1
    assert text.count("Two lines") == 1, "and not among the other answers"
    assert "<dt>knee</dt>" in text


@pytest.mark.parametrize("blank", [None, "", "  \n"])
def test_what_is_blank_is_not_answered(blank):
    assert "0 of 2 answered" in page({"regions": blank})
    assert scored({"regions": blank})[1].review == ()


def test_points_are_the_instructors_alone_and_come_on_top():
    answers = {"regions": "They wait.", "cost": "The spare."}
    before = scored(answers)[1]
    assert before.review == ("to read: regions, cost",)
    by_hand = Manual(answers={"regions": ManualCheck(1.5, 2, "Who pays?"), "cost": ManualCheck(None, 1)})
    after = scored(answers, by_hand)[1]
    assert after.score == before.score + 1.5
    assert after.manual == 1.5
    assert after.review == ()
    text = page(answers, by_hand)
    assert "1.5 of 2 points" in text
    assert "Your instructor: Who pays?" in text


def test_a_lab_without_questions_has_no_such_section():
    graded, points = scored({"knee": 3})
    assert "For a human to read" not in feedback_page(graded, points, room.INFO, {}, released=False)


def test_manual_toml_has_the_rubric_and_its_lines_can_be_used(tmp_path):
    path = tmp_path / "manual.toml"
    assert ensure_template(path, QUESTIONS)
    text = path.read_text()
    assert tomllib.loads(text) == {}, "comments alone"
    assert "#   - names who waits" in text
    line = next(line for line in text.splitlines() if line.startswith("# answers.regions"))
    path.write_text(text + "[ann]\n" + line.removeprefix("# ") + "\n")
    known = {question.name: question.points for question in QUESTIONS}
    assert read_manual(path, ["ann"], {}, known)["ann"].answers["regions"].points == 2
    for wrong, what in (
        ("answers.region = { points = 1 }", "no question in prose 'region'"),
        ("answers.regions = { points = 3 }", "regions gives 0 to 2 points, not 3"),
    ):
        path.write_text(f"[ann]\n{wrong}\n")
        with pytest.raises(LabError, match=what):
            read_manual(path, ["ann"], {}, known)


def test_the_capstone_asks_the_five_topics_and_its_notebook_has_a_cell_for_each():
    info = find_lab("14", room.COURSE)
    assert len(info.questions) == 5
    notebook = info.notebook.read_text(encoding="utf-8")
    for question in info.questions:
        assert f"lab.answer({question.name}=None)" in notebook
        assert len(question.rubric) >= 2
    asked = (info.solution / "lab.py").read_text(encoding="utf-8").replace("\n#  ", "").replace("\n#", "")
    for question in info.questions:
        assert question.asks in " ".join(asked.split()), "the same words in both places"
