"""Gradescope's `results.json`: https://gradescope-autograders.readthedocs.io/en/latest/specs/, read in 2026."""

from __future__ import annotations

from typing import Any

from ..checks import Outcome
from ..checks.result import SIGNS
from ..submissions.text import clean
from . import words
from .schema import Graded
from .scores import CheckScore, Score


def results_json(graded: Graded, score: Score, *, released: bool) -> dict[str, Any]:
    """One submission as the document that Gradescope reads; json.dumps writes it.

    The score stands at the top, where it overrides the tests': scaling, an instructor's points and lateness are in
    it. A test that nobody could judge has no score and no status. Gradescope knows no row without a score: where too much is undecided,
    it is what the checks gave so far, unscaled, and the output says so.

    What hidden inputs were is a test of its own, shown after the due date (or at once when `released`). Gradescope
    hides the total while a test is hidden, so the output at the top says it too.
    """
    found = {check.check: check for check in score.checks}
    outcomes = graded.result.outcomes if graded.result else []
    tests = [
        _test(str(count), outcome, found[outcome.check])
        for count, outcome in enumerate(outcomes, 1)
        if outcome.check in found
    ]
    inputs = words.hidden_inputs(graded)
    if inputs:
        tests.append(
            {
                "name": "What the hidden inputs were",
                "name_format": "text",
                "number": str(len(outcomes) + 1),
                "output": clean("\n".join(f"{name}: {text}" for name, text in inputs)),
                "output_format": "text",
                "visibility": "visible" if released else "after_due_date",
            }
        )
    return {
        "score": score.score,
        "execution_time": round(graded.seconds, 1),
        "output": _output(graded, score),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": {"lab": graded.lab, "status": graded.status, "schema": graded.schema},
        "tests": tests,
    }


def _test(number: str, outcome: Outcome, check: CheckScore) -> dict[str, Any]:
    sign, word = SIGNS[outcome.status]
    test: dict[str, Any] = {
        "name": clean(f"{outcome.check}: {outcome.title}"),
        "name_format": "text",
        "number": number,
        "output": clean("\n".join(_lines(f"{sign} {word}", outcome, check))),
        "output_format": "text",
        "visibility": "visible",
        "extra_data": {"check": outcome.check, "status": outcome.status, "realism": outcome.realism},
    }
    if check.counted:
        full = check.points >= check.max_points if check.by_hand else outcome.status == "passed"
        test |= {
            "score": check.points,
            "max_score": check.max_points,
            "status": "passed" if full else "failed",
        }
    return test


def _lines(verdict: str, outcome: Outcome, check: CheckScore) -> list[str]:
    out = [f"{verdict}, {words.earned(check)}"]
    if said := words.note(outcome, check):
        out.append(said)
    if outcome.evidence:
        out.append(f"expected: {outcome.evidence.expected}")
        out.append(f"observed: {outcome.evidence.observed}")
        if outcome.evidence.look and outcome.status != "passed":
            out.append(f"see it yourself: {outcome.evidence.look}")
    if check.comment:
        out.append(f"your instructor: {check.comment}")
    if outcome.realism != "real":
        out.append(f"{outcome.realism}: {outcome.stands_in or 'only its form was checked'}")
    return out


def _output(graded: Graded, score: Score) -> str:
    lead, standing = words.headline(graded, score)
    out = [f"{lead[0].upper()}{lead[1:]}{standing}.", *words.why(graded, score)]
    if late := words.lateness(score):
        out.append(late)
    if score.comment:
        out.append(f"Your instructor: {score.comment}")
    if graded.remarks:
        out += ["What was not used:", *(f"- {remark}" for remark in graded.remarks)]
    return clean("\n".join(out))
