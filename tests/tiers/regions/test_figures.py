"""Lab 13's figures: what was predicted and measured, who flapped, who was told no; in picture, alt text and numbers."""

from __future__ import annotations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.tiers.regions import figures

COLUMNS = "what routing users at took region status turn"


def requests(name: str, *times: tuple[float, str]) -> list[list]:
    return [["request", name, "NA", at, 0.2, region, 200 if region else 0, 0] for at, region in times]


def test_prediction_and_measurement_stand_side_by_side():
    rows = requests("yours", (-1, "us"), (0.5, ""), (3, "eu"), (9, "us"))
    rows += [
        ["predicted", "yours", "check", 0, 2.0, "", 0, 0],
        ["predicted", "yours", "TTL", 0, 3.0, "", 0, 0],
    ]
    rows += [["promised", "yours", "", 0, 5.5, "", 0, 0], ["event", "", "", 6.0, None, "us", 0, 0]]
    rows += [["measured", "yours", "", 0, 1.5, "", 0, 0], ["measured", "yours", "", 0, None, "", 0, 1]]
    drawn = figures.incident(table("incident", COLUMNS, rows, "us cut off"))
    assert drawn.data == {"predicted": 5.0, "promised": 5.5, "measured": [1.5], "never": 1}
    assert "predicted at most 5 s" in drawn.alt
    assert "1.5 to 1.5 s in 1 of 2" in drawn.alt


def test_who_came_back_how_often():
    calm = requests("yours", (-1, "us"), (1, "eu"), (9, "us"))
    eager = requests("eager", (-1, "us"), (1, "eu"), (3, "us"), (6, "us"), (7, "eu"))
    rows = [*calm, *eager, ["event", "", "", 8.0, None, "us", 0, 0]]
    rows += [["returned", "yours", "", 0, 1, "us", 0, 0], ["returned", "eager", "", 0, 2, "us", 0, 0]]
    drawn = figures.flapping(table("incident", COLUMNS, rows, "us flapping"))
    assert drawn.data["returns"] == {"yours": 1, "eager": 2}
    assert "yours: came back 1 time;" in drawn.caption


def test_who_was_told_no_and_who_was_lost():
    rows = (
        [["yours", "two regions", 200, 0.3]] * 8
        + [["yours", "two regions", 429, 0.1]]
        + [["yours", "two regions", 0, 6.0]]
    )
    (one,) = figures.survivors(table("survivors", "routing left status took", rows)).data["sets"]
    assert (one["shed"], one["lost"], one["n"]) == (1, 1, 10)
    assert one["p95"] == pytest.approx(0.3)


def test_a_median_for_each_continent_and_policy():
    rows = [["all to us", "EU", ms, "us"] for ms in (200, 210, 220)] + [["yours", "EU", 20, "eu"]]
    drawn = figures.policies(table("policies", "policy users ms region", rows))
    assert drawn.data["medians"] == {"all to us": {"EU": 210.0}, "yours": {"EU": 20.0}}


def test_a_guess_is_marked_where_its_axis_is():
    rows = requests("yours", (-1, "us"), (0.5, ""), (3, "eu"), (9, "us"))
    rows += [["promised", "yours", "", 0, 5.5, "", 0, 0], ["event", "", "", 6.0, None, "us", 0, 0]]
    lost = table("incident", COLUMNS, rows, "us cut off")
    assert figures.incident(lost, guess=4).png != figures.incident(lost).png
    assert figures.incident(lost, guess=400).png == figures.incident(lost).png  # beyond the axis
    asked = table("policies", "policy users ms region", [["yours", "EU", ms, "eu"] for ms in (20, 30, 40)])
    assert figures.policies(asked, guess=25).png != figures.policies(asked).png


@pytest.mark.parametrize("name", ["policies", "incident", "flapping", "survivors"])
def test_nothing_to_draw_is_said(name):
    with pytest.raises(LabError, match="Nothing to draw"):
        getattr(figures, name)(table(name, "x", []))
