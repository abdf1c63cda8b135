"""Figures of lab 11: what they say is what the tables hold, and nothing is printed over something else."""

from __future__ import annotations

import functools
import sys
from itertools import combinations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.figures import style
from llmlab.records.schema import Table
from llmlab.tiers.serverless import costs, figures

VERSIONS = {"knative": "v0.50.0", "kubernetes": "v1.35.4"}
COLUMNS = {
    "cold_starts": "platform try part seconds",
    "burst_from_zero": "at requests_waiting instances_ready answered",
    "costs": " ".join(costs.COLUMNS),
}
FUNCTIONS = {"cold_starts": "cold_starts", "burst_from_zero": "burst", "costs": "costs"}
SERVER = costs.Instance(tokens_per_second=60, slots=4, vcpu=4, gib=16, cold_start=20)
TRAFFIC = [10 ** (n / 8) for n in range(33)]  # 1 to 10,000 an hour


def made(kind: str, rows: list[list[object]], note: str | None = None) -> Table:
    return table(kind, COLUMNS[kind], rows, note, **VERSIONS)


def tries(platform: str, n: int, **parts: float) -> list[list[object]]:
    """Tries whose parts grow a little from one to the next."""
    return [
        [platform, number, part.replace("_", " "), seconds * (0.8 + 0.4 * number / max(1, n - 1))]
        for number in range(n)
        for part, seconds in parts.items()
    ]


COLD = [
    *tries("Cloud Run (Knative)", 9, queue=0.1, schedule=0.4, image=0.2, process=1.1, load=2.0, first_token=0.3),
    *tries("ECS on Fargate", 5, schedule=1.2, image=4.0, process=0.9, load=2.1, first_token=0.3),
    *tries("Container Instances", 3, image=3.0, process=0.8, load=2.2, first_token=0.4),
]  # fmt: skip
BURST = [
    *([0.2 * n, 12, 0, 0] for n in range(15)),
    *([3.0 + 0.2 * n, 12 - min(12, 2 * n), 1 + (n > 4) + (n > 8), min(12, 2 * n)] for n in range(15)),
]
COSTS = costs.rows(SERVER, 200, TRAFFIC)
TWO = [row for row in COSTS if row[1] in ("Cloud Run, billed by request", "EC2")]
CASES = {
    "cold_starts": made("cold_starts", COLD),
    "cold_starts, one": made("cold_starts", [["somewhere", 0, "load", 2.5]]),
    "cold_starts, one in vain": made("cold_starts", [*COLD, ["ECS on Fargate", 9, "schedule", 1.0], ["ECS on Fargate", 9, "first token", None]]),
    "cold_starts, a platform in vain": made("cold_starts", [*COLD, ["a platform with a very long name indeed", 0, "load", None]]),
    "cold_starts, a part of its own": made("cold_starts", [*COLD, *tries("a machine", 3, boot=12.0, load=2.0)]),
    "burst_from_zero": made("burst_from_zero", BURST),
    "burst_from_zero, one look": made("burst_from_zero", [[0.0, 3, 0, 0]]),
    "burst_from_zero, nobody": made("burst_from_zero", [[0.1 * n, 30, 0, 0] for n in range(40)]),
    "burst_from_zero, many": made("burst_from_zero", [[0.5 * n, max(0, 300 - 8 * n), n // 10, min(300, 8 * n)] for n in range(45)]),
    "costs": made("costs", COSTS),
    "costs, two": made("costs", TWO),
    "costs, one point": made("costs", TWO[:1]),
    "costs, none that stays": made("costs", [row for row in COSTS if not row[5]]),
}  # fmt: skip


def fresh(case: str):
    return getattr(figures, FUNCTIONS[CASES[case].kind])(CASES[case])


draw = functools.cache(fresh)


@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_to_draw_is_said(name):
    for other in (made(name, []), table("other", "a", [[1]])):
        with pytest.raises(LabError, match="Nothing to draw: "):
            getattr(figures, FUNCTIONS[name])(other)


@pytest.mark.parametrize(("kind", "guess"), [("cold_starts", 2.5), ("burst_from_zero", 2), ("costs", 100)])
def test_a_guess_is_marked_inside_the_axes_and_nowhere_else(kind, guess):
    drawing = getattr(figures, FUNCTIONS[kind])
    assert drawing(CASES[kind], guess=guess).png != draw(kind).png
    assert drawing(CASES[kind], guess=10**9).png == draw(kind).png


def test_nothing_but_tries_in_vain_is_nothing_to_draw():
    with pytest.raises(LabError, match="no try brought a token"):
        figures.cold_starts(made("cold_starts", [["x", 0, "load", None]]))


@pytest.mark.parametrize("case", CASES)
def test_every_figure_carries_alt_text_n_machine_and_versions(case):
    picture = draw(case)
    assert any(letter.isdigit() for letter in picture.alt)
    assert picture.alt.endswith(".")
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop), knative v0.50.0, kubernetes v1.35.4." in picture.caption
    assert "nan" not in picture.alt + picture.caption
    assert "None" not in picture.alt + picture.caption


@pytest.mark.parametrize("case", COLUMNS)
def test_same_table_same_bytes(case):
    assert fresh(case).png == draw(case).png


@pytest.mark.parametrize("case", CASES)
def test_no_text_is_cut_off_or_printed_over_other_text(case, monkeypatch):
    seen = []
    finish = style.finish
    module = sys.modules[f"llmlab.tiers.serverless.figures.{FUNCTIONS[CASES[case].kind]}"]
    monkeypatch.setattr(
        module, "finish", lambda figure, **more: seen.append(figure) or finish(figure, **more)
    )
    fresh(case)
    (figure,) = seen
    renderer = figure.canvas.get_renderer()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        for labels, limits, place in (
            (axes.get_yticklabels(), sorted(axes.get_ylim()), 1),
            (axes.get_xticklabels() if axes.get_xlabel() else [], sorted(axes.get_xlim()), 0),
        ):
            texts += [label for label in labels if limits[0] <= label.get_position()[place] <= limits[1]]
        texts += [*axes.texts, axes.xaxis.label, axes._left_title]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.width + 1, text
        assert box.y1 <= figure.bbox.height + 1, text
    for (text, a), (other, b) in combinations(boxes, 2):
        overlap = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(overlap) < 3, f"{text!r} over {other!r}"


def test_a_cold_start_is_the_medians_of_its_parts():
    picture = draw("cold_starts")
    knative, _, last = picture.data["platforms"]
    assert (knative["n"], knative["failed"]) == (9, 0)
    assert knative["parts"] == pytest.approx(
        {"queue": 0.1, "schedule": 0.4, "image": 0.2, "process": 1.1, "load": 2.0, "first token": 0.3}
    )
    assert (knative["low"], knative["median"], knative["high"]) == pytest.approx((3.28, 4.1, 4.92))
    assert list(last["parts"]) == ["image", "process", "load", "first token"]
    assert "Cloud Run (Knative): median 4.10 s, 3.28 s to 4.92 s; medians of the parts: queue 100 ms, schedule 400 ms," in picture.alt  # fmt: skip
    assert "Cloud Run (Knative) n = 9, ECS on Fargate n = 5 and Container Instances n = 3, one run." in picture.caption  # fmt: skip


def test_a_try_without_a_token_is_counted_and_not_drawn():
    picture = draw("cold_starts, one in vain")
    fargate = picture.data["platforms"][1]
    assert (fargate["n"], fargate["failed"], fargate["low"]) == (5, 1, pytest.approx(0.8 * 8.5))
    assert "Not drawn: 1 try without a token." in picture.caption
    assert "none of 1 try brought a token" in draw("cold_starts, a platform in vain").alt


def test_parts_come_in_the_order_in_which_they_happen():
    platform = draw("cold_starts, a part of its own").data["platforms"][-1]
    assert list(platform["parts"]) == ["load", "boot"]


def test_a_burst_says_when_the_first_instance_and_the_tokens_came():
    picture = draw("burst_from_zero")
    data = picture.data
    assert (data["waiting_most"], data["waiting_last"], data["instances_most"]) == (12, 0, 3)
    assert data["first_ready"] == pytest.approx(3.0)
    assert data["tokens"] == pytest.approx(sorted([3.2, 3.4, 3.6, 3.8, 4.0, 4.2] * 2))
    assert "12 first tokens: the first after 3.20 s, the last after 4.20 s." in picture.alt
    assert "30 looks no more than 200 ms apart" in picture.caption
    assert "At the end 30 requests still waited." in draw("burst_from_zero, nobody").caption


def test_costs_mark_where_a_plan_stops_being_the_cheaper_one():
    picture = draw("costs, two")
    run, ec2 = picture.data["plans"]
    plans = {plan.name: plan for plan in costs.plans(SERVER)}
    exact = costs.crossing(plans[run["plan"]], plans[ec2["plan"]], SERVER, 200)
    assert run["crosses"]["at"] == pytest.approx(exact, rel=0.03)
    assert run["crosses"]["than"] == "EC2"
    assert ec2["crosses"] is None
    assert f"from {exact:,.0f} requests/h on dearer than EC2" in picture.alt or "requests/h on dearer than EC2" in picture.alt  # fmt: skip
    assert "list prices of 2026-11-25 and 2026-11-30, without free tiers." in picture.caption
    assert "1 ring: from there on the cheapest plan that stays costs less" in picture.caption
    assert draw("costs, none that stays").data["plans"][0]["crosses"] is None


def test_the_cheapest_of_those_that_stay_is_who_it_is_measured_against():
    crosses = [plan["crosses"] for plan in draw("costs").data["plans"] if plan["crosses"]]
    assert {crossing["than"] for crossing in crosses} == {"Fargate, reserved for a year"}
    assert len(crosses) == 2


def test_what_is_computed_is_drawn():
    picture = figures.costs(made("costs", costs.rows(SERVER, 200, TRAFFIC)))
    assert picture.data["plans"] == draw("costs").data["plans"]


def test_a_note_is_said():
    assert figures.costs(made("costs", COSTS, "On one machine.")).caption.endswith(" On one machine.")
