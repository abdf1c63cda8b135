"""From what the checks said to a score: what could not be judged, what an instructor gave, what lateness costs.

Nothing here is kept: a score is worked out again whenever the gradebook is written, so that a changed deadline or
manual point never needs a regrade.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from ..checks import Outcome
from ..course.info import LateRule, Question
from .manual import Manual, ManualCheck
from .schema import Graded

DAY = timedelta(days=1)
#: Of the points that this machine can judge, the share that may stay undecided in a row with a score. What nobody judged is worth nothing
#: until somebody did: else it would pay to make checks end undecided.
UNDECIDED = 0.15


@dataclass(frozen=True, slots=True)
class CheckScore:
    """What one check counts. `counted`: somebody judged it; `by_hand`: that was the instructor."""

    check: str
    points: float
    max_points: float
    status: str  # what the grader said; "" when it never said anything
    counted: bool
    by_hand: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Score:
    """A learner's score and how it came about: `score` is `automatic + manual - late_points`, never below 0.

    What this machine cannot judge costs nobody anything, nor do a few points that stayed undecided: the rest is scaled to the lab's full
    points. Where more than `UNDECIDED` of them stayed so, nothing is scaled and there is no score (`known`) until an instructor or a
    quiet re-run decides. Lateness costs a share of what the checks gave, as an instructor may have corrected them; points an instructor
    adds stay whole.
    Points are rounded to 2 decimals, each before they are added, so that a reader can add them up.
    """

    points: float  # what the checks gave, as they are
    max_points: float  # the lab's full points
    uncounted: float  # points of checks that were inconclusive or the grader's fault
    undecided: float  # those of them that somebody must judge before there is a score; 0 where it is few
    automatic: float  # points * full / (full - uncounted); `points` where too much is undecided
    manual: float  # what an instructor added, and by how much they changed single checks
    late_days: int  # started days; 0 when in time or unknown
    late_share: float  # 0 to 1
    late_points: float  # what that costs
    score: float
    known: bool  # False: too little could be judged, so the score is no statement about the learner
    review: tuple[str, ...]  # why an instructor should look; without times, so that a re-run says the same
    comment: str  # the instructor's
    checks: tuple[CheckScore, ...]
    submitted: datetime | None  # UTC; the instructor's if they gave one
    due: datetime | None
    excused: bool
    answers: Mapping[str, ManualCheck] = field(
        default_factory=dict
    )  # in prose, as the instructor judged them


def unjudged(outcomes: Sequence[Outcome]) -> set[str]:
    """The checks nobody can hold against a learner.

    They were inconclusive, the grader's fault, not possible on the grading machine, or they wait only for such.
    """
    names: set[str] = set()
    for outcome in outcomes:
        free = outcome.status in ("inconclusive", "error") or outcome.lacks
        if free or (outcome.waits and names.issuperset(outcome.waits)):
            names.add(outcome.check)
    return names


def absent(outcomes: Sequence[Outcome]) -> set[str]:
    """Of `unjudged`, what the grading machine could not run at all: no submission brings that about."""
    names: set[str] = set()
    for outcome in outcomes:
        if outcome.lacks or (outcome.waits and names.issuperset(outcome.waits)):
            names.add(outcome.check)
    return names


def late_days(submitted: datetime | None, due: datetime | None, rule: LateRule | None) -> int:
    """Started days after the deadline and its grace; 0 when in time or when one of the times is not known.

    Both times are aware.
    """
    if submitted is None or due is None:
        return 0
    late = submitted - due - timedelta(minutes=rule.grace_minutes if rule else 0)
    return max(0, -(-late // DAY))


def score(
    graded: Graded,
    *,
    full: float,
    due: datetime | None,
    rule: LateRule | None,
    manual: Manual | None,
    questions: Sequence[Question] = (),
) -> Score:
    """The score of one submission.

    :param full: the lab's points.
    :param due: the deadline, aware; None: nothing is late.
    :param rule: None: lateness is reported and costs nothing.
    :param questions: answered in prose: what was answered and nobody has read yet is for an instructor to look at.
    """
    by_hand = manual or Manual()
    outcomes = graded.result.outcomes if graded.result else []
    plain = _check_scores(graded, Manual())
    checks = _check_scores(graded, by_hand)
    lacking = absent(outcomes)
    judgeable = full - sum(outcome.max_points for outcome in outcomes if outcome.check in lacking)
    undecided = 0.0 if graded.status == "refused" else _undecided(checks, judgeable, lacking)
    if undecided:
        automatic, corrected = (round(_earned(rows), 2) for rows in (plain, checks))
    else:
        automatic = round(_scaled(plain, full), 2)
        corrected = round(
            _scaled(checks, full) if _counted(plain) else sum(check.points for check in checks), 2
        )
    submitted = by_hand.submitted or _time(graded.handed.submitted)
    days = late_days(submitted, due, rule)
    share = 0.0 if rule is None or by_hand.excused else min(days * rule.per_day, rule.at_most)
    late_points = round(corrected * share, 2)
    manual_points = round(corrected - automatic + by_hand.added, 2)
    # Points given to a whole row decide where nothing was judged; beside checks that nobody decided they are a bonus.
    whole = by_hand.judges and not _counted(plain)
    known = graded.status == "refused" or full == 0 or whole or (_counted(checks) > 0 and not undecided)
    return Score(
        points=sum(outcome.points for outcome in outcomes),
        max_points=full,
        uncounted=0.0 if graded.status == "refused" else max(0.0, full - _counted(plain)),
        undecided=undecided,
        automatic=automatic,
        manual=manual_points,
        late_days=days,
        late_share=share,
        late_points=late_points,
        score=max(0.0, round(automatic + manual_points - late_points, 2)),
        known=known,
        review=(
            *_review(graded, checks, by_hand, full if not known else 0, undecided),
            *_unread(graded, by_hand, questions),
        ),
        comment=by_hand.comment,
        checks=checks,
        answers=by_hand.answers,
        submitted=submitted,
        due=due,
        excused=by_hand.excused,
    )


def _check_scores(graded: Graded, manual: Manual) -> tuple[CheckScore, ...]:
    """Every check that the grader or the instructor says something of."""
    outcomes = graded.result.outcomes if graded.result else []
    free = unjudged(outcomes)
    out = []
    for outcome in outcomes:
        hand = manual.checks.get(outcome.check)
        given = hand.points if hand else None
        out.append(
            CheckScore(
                check=outcome.check,
                points=outcome.points if given is None else given,
                max_points=outcome.max_points,
                status=outcome.status,
                counted=given is not None or outcome.check not in free,
                by_hand=given is not None,
                comment=hand.comment if hand else "",
            )
        )
    seen = {outcome.check for outcome in outcomes}
    for name, hand in manual.checks.items():
        if name not in seen:
            given = hand.points is not None
            out.append(CheckScore(name, hand.points or 0.0, hand.max_points, "", given, given, hand.comment))
    return tuple(out)


def _counted(checks: Sequence[CheckScore]) -> float:
    return sum(check.max_points for check in checks if check.counted)


def _earned(checks: Sequence[CheckScore]) -> float:
    return sum(check.points for check in checks if check.counted)


def _scaled(checks: Sequence[CheckScore], full: float) -> float:
    counted = _counted(checks)
    return _earned(checks) * full / counted if counted else 0.0


def _undecided(checks: Sequence[CheckScore], judgeable: float, lacking: Collection[str]) -> float:
    """Points that stayed undecided although this machine could judge them; 0 where they are few enough to be left out of the sum."""
    left = judgeable - sum(
        check.max_points for check in checks if check.counted and check.check not in lacking
    )
    return left if left > UNDECIDED * judgeable else 0.0


def _review(
    graded: Graded, checks: Sequence[CheckScore], manual: Manual, waiting: float, undecided: float
) -> tuple[str, ...]:
    """Why an instructor should look; what they have judged by hand is done. `waiting`: the lab's points, where there is no score yet."""
    out = []
    if waiting and undecided and _counted(checks):
        out.append(f"no score yet: {undecided:g} of {waiting:g} points are undecided")
    if graded.status == "refused" and not manual.judges:
        out.append(f"refused: {graded.reason or 'nothing in it could be taken'}")
    if graded.status == "error" and not manual.judges:
        out.append("grader error")
    outcomes = {outcome.check: outcome for outcome in (graded.result.outcomes if graded.result else [])}
    mended = {
        check.check for check in checks if check.by_hand and check.points > 0 and check.status != "passed"
    }
    groups: dict[str, list[str]] = {}
    for check in checks:
        if check.by_hand or not check.status:
            continue
        if not check.counted:
            word = {"inconclusive": "inconclusive", "error": "grader error"}.get(check.status, "not judged")
            groups.setdefault(word, []).append(check.check)
        elif mended.intersection(outcomes[check.check].waits):
            groups.setdefault("waited for what you corrected", []).append(check.check)
    out += [f"{word}: {', '.join(names)}" for word, names in groups.items()]
    if graded.notebook.status == "stopped":
        out.append("notebook stopped")
    if graded.leftovers:
        out.append("left something running")
    return tuple(out)


def _unread(graded: Graded, manual: Manual, questions: Sequence[Question]) -> list[str]:
    """The answers in prose that wait for a reader."""
    waiting = [
        question.name
        for question in questions
        if said(graded.answers.get(question.name)) and question.name not in manual.answers
    ]
    return [f"to read: {', '.join(waiting)}"] if waiting else []


def said(answer: object) -> str:
    """An answer in prose; "" where there is none."""
    return answer.strip() if isinstance(answer, str) else "" if answer is None else str(answer)


def _time(text: str | None) -> datetime | None:
    """An ISO time as UTC; None when there is none, or it cannot be read."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return (found.replace(tzinfo=UTC) if found.tzinfo is None else found).astimezone(UTC)
