"""Roll-outs and scaling: what the figures say is what the tables hold."""

from __future__ import annotations

import factory
import pytest

from llmlab.errors import LabError
from llmlab.records.schema import Table
from llmlab.tiers.kubernetes.figures import rollouts
from llmlab.tiers.kubernetes.notebook.rollouts import Scaling


def table(kind: str, columns: str, rows: list[list[object]]) -> Table:
    return Table(
        kind=kind,
        created="2026-11-25T10:00:00.000+00:00",
        machine=factory.MACHINE,
        columns=dict.fromkeys(columns.split(), ""),
        rows=rows,  # type: ignore[arg-type]
        versions={"kubernetes": "v1.35.4"},
    )


ROLLED = [
    ["request", "guide", 0.0, 0.9, True],
    ["request", "guide", 0.9, 3.2, False],
    ["request", "guide", 1.0, 3.7, False],
    ["request", "yours", 0.0, 1.1, True],
    ["request", "yours", 1.1, 1.9, True],
    ["roll-out", "guide", 1.0, 4.0, True],
    ["roll-out", "yours", 1.0, 2.5, True],
]


def test_a_request_counts_in_the_second_in_which_it_was_over():
    drawn = rollouts.rollouts(table("rollouts", "what set from to ok", ROLLED))
    guide, yours = drawn.data["sets"]
    assert (guide["good"], guide["bad"]) == ([1, 0, 0, 0], [0, 0, 0, 2])
    assert (yours["good"], yours["bad"]) == ([0, 2, 0, 0], [0, 0, 0, 0])
    assert yours["rollout"] == [1.0, 2.5]
    assert "guide: 2 of 3 requests failed" in drawn.alt
    assert "yours: 0 of 2 requests failed" in drawn.caption


def test_replicas_and_waiting_are_weighed_by_time():
    rows = [
        ["guide", 0.0, 4, 4, 1, 0],
        ["guide", 10.0, 4, 4, 1, 0],
        ["yours", 0.0, 2, 2, 1, 0],
        ["yours", 2.0, 4, 2, 8, 4],
        ["yours", 4.0, 4, 4, 8, 0],
        ["yours", 10.0, 2, 4, 1, 0],
    ]
    drawn = rollouts.scaling(table("scaling", "set at wanted ready users waiting", rows))
    guide, yours = drawn.data["sets"]
    assert (guide["mean"], guide["most"], guide["waited"]) == (4.0, 4, 0.0)
    assert (yours["mean"], yours["most"], yours["waited"]) == (pytest.approx(3.6), 4, 8.0)
    assert "yours: 3.6 replicas on average, at most 4, users waited 8 s in all" in drawn.alt


def test_the_guess_of_replicas_is_marked_and_answered():
    rows = [
        [whose, at, wanted, 2, 1, 0]
        for whose in ("guide", "yours")
        for at, wanted in ((0.0, 2), (4.0, 3), (9.0, 4))
    ]
    trace = Scaling(table("scaling", "set at wanted ready users waiting", rows), quiet=5.0)
    assert trace.value("guide") == 3  # at the end of the time with one user
    assert trace.plot(guess=2).png != trace.plot().png


@pytest.mark.parametrize("draw", ["rollouts", "scaling"])
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(LabError, match=rf"cluster\.{draw}\(\)"):
        getattr(rollouts, draw)(table(draw, "what set", []))
