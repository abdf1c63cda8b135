"""Figures of lab 12: who is sent elsewhere, and what the edge adds; an empty table is said."""

from __future__ import annotations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.tiers.edge import figures


@pytest.mark.parametrize("name", ["origins", "added"])
def test_nothing_to_draw_is_said(name):
    with pytest.raises(LabError, match="Nothing to draw"):
        getattr(figures, name)(table("other", "a", []))


def test_the_map_counts_who_is_sent_elsewhere():
    rows = [
        ["guide", "DE", 1, 1, "us", "eu"],
        ["guide", "US", 0, 1, "us", "us"],
        ["guide", "JP", 2, 1, "", "asia"],
    ]
    drawn = figures.origins(table("origins", "set country column row region home", rows))
    assert drawn.data["sets"] == [{"set": "guide", "countries": 3, "wrong": ["DE", "JP"]}]
    assert "2 of 3 countries" in drawn.alt


def test_what_the_edge_adds_is_the_difference_of_medians():
    rows = [["directly", 1.0], ["through the edge", 3.0], ["directly", 2.0], ["through the edge", 4.0]]
    assert figures.added(table("edge-latency", "path ms", rows)).data["added"] == 2.0
