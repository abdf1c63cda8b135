"""Figures of lab 10: what is wrong is in the picture, its alt text and its numbers; an empty table is said."""

from __future__ import annotations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.tiers.aws import figures


def test_what_nobody_declared_is_named():
    rows = [["aws_lb.a", "", 0], ["data.aws_vpc.main", "", 1], ["aws_lb.a", "data.aws_vpc.main", 1]]
    drawn = figures.resources(table("resources", "from to missing", rows))
    assert drawn.data["missing"] == ["data.aws_vpc.main"]
    assert "not declared: data.aws_vpc.main" in drawn.alt


def test_a_circle_of_references_is_still_drawn():
    rows = [["a.a", "", 0], ["b.b", "", 0], ["a.a", "b.b", 0], ["b.b", "a.a", 0]]
    assert len(figures.resources(table("resources", "from to missing", rows)).data["edges"]) == 2


def test_an_opening_that_is_not_meant_is_named():
    rows = [["the internet", "a server", "22", 0], ["the load balancer", "a server", "8080", 1]]
    drawn = figures.reachability(table("reachability", "source to ports meant", rows))
    assert drawn.data["wrong"] == ["the internet to a server: 22"]
    assert "the internet to a server: 22" in drawn.alt


def test_the_slowest_resource_is_named_and_one_without_an_end_left_out():
    rows = [
        ["aws_lb.a", "create", 3.0, 63.0],
        ["aws_iam_role.b", "create", 3.0, 4.0],
        ["aws_lb_listener.c", "create", 63.0, None],
    ]
    drawn = figures.applying(table("apply", "address action from to", rows))
    assert "aws_lb.a took 60 s" in drawn.alt
    assert len(drawn.data["rows"]) == 2


def test_dollars_for_a_million_tokens():
    rows = [["m7i.xlarge", 0.2016, 40.0, 0.5]]
    drawn = figures.per_million(
        table("per-million", "machine dollars tokens_per_second utilisation", rows, "as of 2026-11-25")
    )
    assert drawn.data["machines"] == [{"machine": "m7i.xlarge", "dollars_per_million": 2.8}]
    assert "2026-11-25" in drawn.caption


@pytest.mark.parametrize("name", ["resources", "reachability", "applying", "per_million"])
def test_nothing_to_draw_is_said(name):
    with pytest.raises(LabError, match="Nothing to draw"):
        getattr(figures, name)(table("other", "a", []))
