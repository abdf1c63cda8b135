"""Placement and cost: what a figure says is what the table holds."""

from __future__ import annotations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.tiers.kubernetes.gpus import figures

PLACED = [
    ["guide", "eks-g6", "L4", 0, "didn't match Pod's node affinity/selector"],
    ["guide", "aks-nc24ads", "A100 80GB", 0, "had untolerated taint(s)"],
    ["yours", "eks-g6", "L4", 1, ""],
    ["yours", "aks-nc24ads", "A100 80GB", 0, "had untolerated taint(s)"],
]


def test_each_cell_is_a_decision_and_the_reason_is_kept():
    drawn = figures.placement(table("placement", "set pool gpu placed reason", PLACED, kubernetes="v1.35.4"))
    assert [
        (decision["set"], decision["pool"], decision["placed"]) for decision in drawn.data["decisions"]
    ] == [(row[0], row[1], row[3]) for row in PLACED]
    assert "guide: placed on no pool" in drawn.alt
    assert "yours: placed on eks-g6" in drawn.alt
    assert "v1.35.4" in drawn.caption


def test_idle_gpus_are_the_rest_of_the_price():
    rows = [["eks-p4d", 21.96, 8, 2], ["gke-g2", 1.7, 2, 2]]
    drawn = figures.stranded(table("stranded", "pool dollars gpus used", rows, "written down on 2026-11-25"))
    assert [pool["stranded"] for pool in drawn.data["pools"]] == [16.47, 0.0]
    assert "eks-p4d: $21.96 an hour, of which $16.47 for idle GPUs." in drawn.alt
    assert "2026-11-25" in drawn.caption


@pytest.mark.parametrize("draw", [figures.placement, figures.stranded])
def test_nothing_decided_is_no_figure(draw):
    with pytest.raises(LabError, match="Nothing to draw"):
        draw(table("placement", "set pool gpu placed reason", []))
