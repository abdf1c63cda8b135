"""What a learner is told, in sentences: the same ones on the feedback page and in Gradescope."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ..checks import Outcome
from ..course.info import LabInfo
from .schema import Graded
from .scores import CheckScore, Score


def number(value: float) -> str:
    """Points as short as they are: 8, 9.6, 0.25."""
    return f"{round(value, 2):.2f}".rstrip("0").rstrip(".")


def points(value: float) -> str:
    """`1 point`, `1.5 points`."""
    return f"{number(value)} point" if number(value) == "1" else f"{number(value)} points"


def standing(score: Score) -> str:
    """`8 of 12 points`."""
    return f"{number(score.score)} of {points(score.max_points)}"


def headline(graded: Graded, score: Score) -> tuple[str, str]:
    """What comes after the learner's name: the sentence up to the score, and the score (empty when there is none)."""
    if not score.known:
        return "your work could not be graded yet", ""
    return "you have ", standing(score)


def why(graded: Graded, score: Score) -> list[str]:
    """How the score came about, a sentence each; empty when it is simply what the checks gave."""
    out = []
    if graded.status == "refused":
        reason = (graded.reason or "none of the lab's files is in it").rstrip(".")
        out.append(f"Nothing in what you handed in could be graded: {reason}.")
    elif not score.known and score.points:
        out.append(
            f"{number(score.undecided)} of {points(score.max_points)} could not be judged yet, so there is no score: your instructor has "
            f"a note of it. What the checks gave so far is {points(score.points)}."
        )
    elif not score.known:
        out.append("That costs you nothing. Your instructor has a note of it.")
    elif score.uncounted:
        judged = score.max_points - score.uncounted
        lead = f"{points(score.uncounted)} of this lab could not be judged, which costs you nothing"
        if judged > 0:
            lead += (
                f": {number(score.points)} of the other {number(judged)} count as "
                f"{number(score.automatic)} of {number(score.max_points)}"
            )
        out.append(lead + ".")
    elif score.late_points or score.manual:
        out.append(f"The checks gave {points(score.points)}.")
    if score.manual:
        verb = "added" if score.manual > 0 else "took off"
        out.append(f"Your instructor {verb} {points(abs(score.manual))}.")
    if score.late_points:
        out.append(f"Lateness costs {points(score.late_points)}.")
    return out


def lateness(score: Score) -> str:
    """When it was handed in, against the deadline, and what that costs; empty without a deadline."""
    if score.due is None:
        return ""
    due = _time(score.due, score.due)
    if score.submitted is None:
        return f"The deadline was {due}. When you handed in is not known, so it counts as in time."
    lead = f"You handed in on {_time(score.submitted, score.due)}; the deadline was {due}."
    if score.submitted <= score.due:
        return f"{lead} That is in time."
    if score.late_days == 0:
        return f"{lead} That still counts as in time."
    days = "1 day" if score.late_days == 1 else f"{score.late_days} days"
    late = f"{lead} That counts as {days} late"
    if score.excused:
        return f"{late}; your instructor excused it, so it costs nothing."
    if not score.late_share:
        return f"{late}, which costs nothing in this lab."
    share = f"{score.late_share:.1%}".replace(".0%", "%").replace("%", " %")
    return f"{late}, which costs {share} of what the checks gave: {points(score.late_points)}."


def _time(when: datetime, like: datetime) -> str:
    there = when.astimezone(like.tzinfo)
    return f"{there:%Y-%m-%d %H:%M:%S} {there.tzname()}"


def earned(check: CheckScore) -> str:
    """`2 of 3 points`, or that it does not count."""
    if not check.counted:
        return "not counted"
    return f"{number(check.points)} of {points(check.max_points)}"


def note(outcome: Outcome, check: CheckScore) -> str:
    """Why a check has no verdict, or another one than the grader's; empty when it simply has one.

    The grader's own traceback stays with the instructor.
    """
    out = []
    if outcome.status == "inconclusive":
        out.append(f"The measurement could not tell: {(outcome.reason or 'too noisy').rstrip('.')}.")
    elif outcome.status == "error":
        out.append("The grader itself stumbled here; this is its fault and not yours.")
    elif outcome.waits:
        out.append(f"It waits for {_names(outcome.waits)}: once that passes, this one is looked at.")
    elif outcome.status == "skipped" and not check.counted:
        out.append("The machine that graded could not run it.")
    elif outcome.status == "skipped":
        out.append(f"It was skipped: {(outcome.reason or 'no reason was given').rstrip('.')}.")
    if not check.counted:
        out.append("It costs you nothing.")
    if check.by_hand:
        out.append(f"Your instructor judged it: {earned(check)}.")
    return " ".join(out)


def _names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def hidden_inputs(graded: Graded) -> list[tuple[str, str]]:
    """(check or purpose, what was drawn), for after the deadline: hidden inputs, data of checks, seeds."""
    outcomes = graded.result.outcomes if graded.result else []
    out = [
        (outcome.check, outcome.evidence.hidden)
        for outcome in outcomes
        if outcome.evidence and outcome.evidence.hidden
    ]
    out += [
        (outcome.check, ", ".join(f"{name} {value}" for name, value in outcome.data.items()))
        for outcome in outcomes
        if outcome.data
    ]
    return out + [(f"seed of {purpose}", str(seed)) for purpose, seed in graded.seeds.items()]


def handing_in(info: LabInfo) -> str:
    """What a submission of this lab should hold."""
    files = _names((*info.artifacts, info.notebook.name))
    return f"Hand in the lab's folder, or a zip of it, with {files}."
