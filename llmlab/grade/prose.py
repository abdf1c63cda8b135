"""Answers in prose, on the page a learner and an instructor read: each question, what was said, and what the instructor made of it."""

from __future__ import annotations

from collections.abc import Sequence

from ..course.info import Question
from ..show.markup import Html, tag
from . import words
from .schema import Graded
from .scores import Score, said


def prose(graded: Graded, score: Score, questions: Sequence[Question]) -> Html | None:
    """A section with every question of the lab; None where it has none, or nothing was taken."""
    if not questions or graded.status == "refused":
        return None
    answered = sum(bool(said(graded.answers.get(question.name))) for question in questions)
    return tag(
        "section",
        tag("h2", "For a human to read"),
        tag(
            "p",
            f"{answered} of {len(questions)} answered. No check reads them: points for them are your instructor's, "
            "on top of those of the checks.",
        ),
        *(_one(graded, score, question) for question in questions),
        class_="prose",
    )


def _one(graded: Graded, score: Score, question: Question) -> Html:
    text, hand = said(graded.answers.get(question.name)), score.answers.get(question.name)
    given = hand.points if hand else None
    if given is not None:
        standing = f"{words.number(given)} of {words.points(question.points)}"
    else:
        standing = "not read yet" if text else "not answered"
    return tag(
        "article",
        tag(
            "p",
            tag("span", question.name, class_="sign"),
            tag("span", standing, class_="points"),
            class_="verdict",
        ),
        tag("h3", question.asks),
        tag("p", text, class_="said") if text else tag("p", "Not answered.", class_="quiet"),
        tag("p", "Your instructor: ", hand.comment, class_="said") if hand and hand.comment else None,
        class_="check",
        id=f"answer-{question.name}",
    )
