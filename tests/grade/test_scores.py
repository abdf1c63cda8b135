"""What a submission scores: the late rule at its edges, what nobody could judge, what an instructor gave."""

from __future__ import annotations

from datetime import timedelta, timezone
from types import SimpleNamespace

import classroom as room
import pytest

from llmlab import doctor
from llmlab.checks import Context, Evidence, check, failed, inconclusive, passed
from llmlab.checks.page import page
from llmlab.checks.run import run_here
from llmlab.course.info import LateRule
from llmlab.grade.manual import Manual, ManualCheck
from llmlab.grade.scores import late_days, unjudged

DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("late", "days", "share"),
    [
        (-DAY, 0, 0),
        (0 * SECOND, 0, 0),
        (15 * MINUTE, 0, 0),
        (15 * MINUTE + SECOND, 1, 0.1),
        (DAY, 1, 0.1),
        (DAY + 15 * MINUTE, 1, 0.1),
        (DAY + 15 * MINUTE + SECOND, 2, 0.2),
        (5 * DAY, 5, 0.5),
        (100 * DAY, 100, 0.5),
    ],
)
def test_the_late_rule_at_its_edges(late, days, share):
    found = room.scored(room.graded(late=late))
    assert (found.late_days, found.late_share) == (days, pytest.approx(share))
    assert found.score == pytest.approx(12 * (1 - share))
    assert found.late_points == pytest.approx(12 * share)


def test_without_grace_a_second_is_a_day_and_without_a_rule_a_day_costs_nothing():
    one = room.graded(late=SECOND)
    assert room.scored(one, rule=LateRule(0, 0.25, 1)).score == 9
    free = room.scored(one, rule=None)
    assert (free.late_days, free.late_share, free.score) == (1, 0, 12)
    unknown = room.scored(one, due=None)
    assert (unknown.late_days, unknown.score) == (0, 12)


def test_times_are_compared_across_zones_and_an_unreadable_one_is_in_time():
    due = room.DUE.astimezone(timezone(timedelta(hours=9)))
    assert late_days(room.DUE + SECOND, due, None) == 1
    for text in (None, "", "yesterday"):
        handed = room.Handed(path="x", kind="zip", sha256="", submitted=text)
        found = room.scored(room.graded(handed=handed))
        assert (found.submitted, found.late_days, found.score) == (None, 0, 12)


def test_the_instructors_time_and_excuse_come_first():
    late = room.graded(late=3 * DAY)
    assert room.scored(late, manual=Manual(submitted=room.DUE)).score == 12
    excused = room.scored(late, manual=Manual(excused=True))
    assert (excused.late_days, excused.late_share, excused.score) == (3, 0, 12)
    early = room.graded(late=-DAY)
    assert room.scored(early, manual=Manual(submitted=room.DUE + 2 * DAY)).late_days == 2


@pytest.mark.parametrize("status", ["inconclusive", "error"])
def test_what_could_not_be_judged_costs_nothing(status):
    found = room.scored(room.graded(counters=status))
    assert (found.points, found.uncounted, found.automatic, found.score) == (11, 1, 12, 12)
    half = room.scored(room.graded(counters=status, context_per_slot="failed", closed_door="failed"))
    assert (half.points, half.automatic, half.score) == (6, 6.55, 6.55)
    assert any("counters" in reason for reason in found.review)


@pytest.mark.parametrize("status", ["inconclusive", "error"])
def test_much_that_could_not_be_judged_is_no_score(status):
    """5 of 12 points shown must never become 12."""
    names = ("goodput", "knee", "context_per_slot")
    found = room.scored(room.graded(**dict.fromkeys(names, status)))
    assert (found.known, found.undecided, found.automatic, found.score) == (False, 7, 5, 5)
    assert found.review[0] == "no score yet: 7 of 12 points are undecided"
    bonus = room.scored(room.graded(**dict.fromkeys(names, status)), manual=Manual(points=1))
    assert not bonus.known, "a bonus decides nothing"
    judged = {"goodput": ManualCheck(2, 2), "context-per-slot": ManualCheck(3, 3), "knee": ManualCheck(0, 2)}
    decided = room.scored(room.graded(**dict.fromkeys(names, status)), manual=Manual(checks=judged))
    assert (decided.known, decided.undecided, decided.score) == (True, 0, 10)


def test_what_the_grading_machine_lacks_is_no_doing_of_a_submission():
    lacking = room.outcome("context-per-slot", "skipped", lacks=["docker"])
    waiting = room.outcome("knee", "skipped", waits=["context-per-slot"])
    found = room.scored(room.graded(context_per_slot=lacking, knee=waiting, goodput="failed"))
    assert (found.known, found.uncounted, found.undecided) == (True, 5, 0)
    assert found.score == round(5 * 12 / 7, 2)


def checks_of_a_lab(first):
    @check(title="first", points=3)
    def first_one(ctx):
        return first()

    @check(title="second", points=2, needs=("first-one",))
    def second(ctx):
        return passed(expected="", observed="")

    @check(title="third", points=1, needs=("second",))
    def third(ctx):
        return passed(expected="", observed="")

    @check(title="beyond", points=4, machine=("docker",))
    def beyond(ctx):
        return passed(expected="", observed="")

    return [first_one, second, third, beyond]


def test_what_waits_for_something_unjudged_is_unjudged_too(monkeypatch, tmp_path):
    """The reasons come from the runner itself, so that a change of its words is seen here."""
    lacking = SimpleNamespace(met=False, name="docker", detail="no daemon", mend="install it")
    monkeypatch.setattr(doctor, "need", lambda name: lacking)
    context = Context(files=tmp_path, seed=0, answers={}, profile="laptop")
    noisy = run_here(checks_of_a_lab(lambda: inconclusive("noisy", expected="", observed="")), context)
    assert noisy[1].waits == ["first-one"]
    assert unjudged(noisy) == {"first-one", "second", "third", "beyond"}

    failing = run_here(checks_of_a_lab(lambda: failed(expected="", observed="")), context)
    assert unjudged(failing) == {"beyond"}


def test_a_grader_that_died_half_way_costs_nothing_and_is_looked_at():
    one = room.graded()
    some = [
        *one.result.outcomes[:2],
        room.Outcome(check="grader", title="The grader itself", status="error", points=0, max_points=0),
    ]
    found = room.scored(room.graded(result=room.Result(lab="x", created="", seed=0, outcomes=some)))
    assert (found.known, found.points, found.uncounted, found.score) == (False, 2, 10, 2)
    assert found.review == ("no score yet: 10 of 12 points are undecided", "grader error: grader")


def test_nothing_judged_is_no_zero():
    for graded in (room.broken(), room.graded(**{name.replace("-", "_"): "error" for name in room.POINTS})):
        found = room.scored(graded)
        assert not found.known
        assert found.uncounted == 12
        assert found.review
    assert room.scored(room.broken(), manual=Manual(points=7)).known


def test_a_refused_submission_is_a_zero_that_somebody_looks_at():
    found = room.scored(room.refused())
    assert (found.known, found.score, found.uncounted) == (True, 0, 0)
    assert found.review == ("refused: the zip unpacks to 40 GB",)
    given = room.scored(room.refused(), manual=Manual(points=1, checks={"knee": ManualCheck(2, 2)}))
    assert (given.score, given.review) == (3, ())


def test_points_by_hand_replace_add_and_are_not_reduced():
    late = room.graded(knee="failed", late=DAY)  # 10 of 12, a tenth off
    assert room.scored(late).score == 9
    added = room.scored(late, manual=Manual(points=1.5))
    assert (added.manual, added.score) == (1.5, 10.5)
    replaced = room.scored(late, manual=Manual(checks={"knee": ManualCheck(2, 2, "fair")}))
    assert (replaced.automatic, replaced.manual, replaced.late_points, replaced.score) == (10, 2, 1.2, 10.8)
    lowered = room.scored(room.graded(), manual=Manual(checks={"knee": ManualCheck(0, 2)}))
    assert (lowered.manual, lowered.score) == (-2, 10)
    assert room.scored(room.graded(), manual=Manual(points=-50)).score == 0


def test_a_check_judged_by_hand_counts_and_needs_no_look():
    found = room.scored(room.graded(knee="inconclusive"), manual=Manual(checks={"knee": ManualCheck(1, 2)}))
    assert (found.automatic, found.manual, found.score, found.review) == (12, -1, 11, ())
    word = room.scored(
        room.graded(counters="inconclusive"), manual=Manual(checks={"counters": ManualCheck(None, 1, "hm")})
    )
    assert (word.score, word.review) == (12, ("inconclusive: counters",))


def test_what_waited_for_a_corrected_check_is_looked_at():
    goodput = room.outcome("goodput", "skipped", waits=["context-per-slot"])
    one = room.graded(context_per_slot="failed", goodput=goodput)
    assert room.scored(one).review == ()
    hand = Manual(checks={"context-per-slot": ManualCheck(3, 3)})
    assert room.scored(one, manual=hand).review == ("waited for what you corrected: goodput",)


def test_what_else_is_looked_at():
    found = room.scored(
        room.graded(leftovers=["pid 7"], notebook=room.NotebookRun(status="stopped", reason="61.3 s"))
    )
    assert found.review == ("notebook stopped", "left something running")


def test_the_parts_add_up_to_the_score():
    for late in range(0, 6):
        for points in (0, 0.37, -1.11):
            one = room.graded(counters="inconclusive", knee="failed", late=late * DAY + 16 * MINUTE)
            found = room.scored(one, manual=Manual(points=points), rule=LateRule(0, 0.07, 0.3))
            assert found.score == round(found.automatic + found.manual - found.late_points, 2)


def test_a_hidden_input_is_kept_and_never_shown_by_a_result():
    verdict = passed(expected="about", observed="well", hidden=room.SECRET)
    assert verdict.evidence == Evidence("about", "well", hidden=room.SECRET)
    assert "hidden" not in verdict.data
    for status in ("passed", "failed", "inconclusive"):
        result = room.graded(knee=room.outcome("knee", status, hidden=room.SECRET)).result
        assert room.SECRET not in str(result) + repr(result) + page(result)
