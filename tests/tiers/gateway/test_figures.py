"""Figures of lab 09: what they say is what the tables hold, and nothing is printed over something else."""

from __future__ import annotations

import functools
import sys
from itertools import combinations

import pytest
from factory import table

from llmlab.errors import LabError
from llmlab.figures import style
from llmlab.records.schema import Table
from llmlab.tiers.gateway import figures
from llmlab.tiers.gateway.figures.canary import wilson

VERSIONS = {"kubernetes": "v1.35.4", "envoy-gateway": "v1.6.1"}
COLUMNS = {
    "burst": "client sent first over status",
    "ways": "way n first connect",
    "canary": "what at who share",
}


def made(kind: str, rows: list[list[object]], note: str | None = None) -> Table:
    return table(kind, COLUMNS[kind], rows, note, **VERSIONS)


BURST = [
    ["team-a", 0.0, 0.1, 1.0, 200],
    ["team-a", 0.1, 1.0, 2.0, 200],  # its first token comes as the one before ends
    ["team-a", 0.2, 2.0, 3.0, 200],
    ["team-a", 0.3, None, 0.304, 429],
    ["team-b", 0.5, None, 2.5, 200],  # admitted, and no token came
    ["team-b", 1.1, None, 1.11, 429],
    ["team-b", 1.2, None, 1.21, 429],
    ["team-b", 1.3, None, 1.4, 503],
    ["team-b", 1.4, None, 5.4, 0],
]
WAYS = [
    *(["direct", n, 0.020 + 0.001 * n, 0.0] for n in range(21)),
    *(["through the door", n, 0.022 + 0.001 * n, 0.0] for n in range(21)),
    *(["through the door, a new connection each", n, 0.023 + 0.001 * n, 0.004] for n in range(21)),
]
CANARY = [
    ["weight", 0.0, "", 0.0],
    *(["answer", 0.1 + 0.2 * n, "llama", None] for n in range(10)),
    ["weight", 2.0, "", 0.25],
    *(["answer", 2.1 + 0.2 * n, "llama" if n % 4 else "llama-canary", None] for n in range(20)),
    ["answer", 3.05, "", None],
    ["weight", 6.0, "", 0.0],
    ["answer", 6.1, "llama-canary", None],
    ["answer", 6.3, "llama", None],
    ["answer", 6.5, "llama", None],
]
CASES = {
    "burst": made("burst", BURST),
    "burst, nothing admitted": made("burst", [["team-a", n / 9, None, n / 9 + 0.01, 429] for n in range(30)]),
    "burst, one": made("burst", [["team-a", 0.1, 0.3, 0.9, 200]]),
    "burst, one without an answer": made("burst", [["team-a", 0.1, None, 30.0, 0]]),
    "burst, many clients": made(
        "burst",
        [[f"a key with a very long name indeed, {n}", 0.1 * n, 1.0, 2.0, 200] for n in range(9)],
    ),
    "burst, long": made("burst", [["team-a", 2.0 * n, 2.0 * n + 3, 2.0 * n + 5, 200] for n in range(120)]),
    "ways": made("ways", WAYS),
    "ways, one": made("ways", [["direct", 0, 0.02, 0.0]]),
    "ways, one far off": made("ways", [*WAYS, ["direct", 21, 3.0, 0.0]]),
    "ways, shut": made("ways", [*WAYS, ["through a door that is shut", 0, None, 0.0]]),
    "ways, all shut": made("ways", [["direct", 0, None, 0.0]]),
    "canary": made("canary", CANARY),
    "canary, nothing failed": made("canary", [row for row in CANARY if row[:1] != ["answer"] or row[2]]),
    "canary, all failed": made("canary", [["weight", 0.0, "", 0.1], ["answer", 0.5, "", None]]),
    "canary, one": made("canary", [["answer", 3.0, "llama", None]]),
    "canary, nobody asked": made("canary", [["weight", 0.0, "", 0.1]]),
}


def fresh(case: str):
    return getattr(figures, CASES[case].kind)(CASES[case])


draw = functools.cache(fresh)


@pytest.mark.parametrize("name", COLUMNS)
def test_nothing_to_draw_is_said(name):
    for other in (made(name, []), table("other", "a", [[1]])):
        with pytest.raises(LabError, match="Nothing to draw: ") as error:
            getattr(figures, name)(other)
        assert error.value.fix == f"front.{name}()"


@pytest.mark.parametrize("case", CASES)
def test_every_figure_carries_alt_text_n_machine_and_versions(case):
    picture = draw(case)
    assert any(letter.isdigit() for letter in picture.alt)
    assert picture.alt.endswith(".")
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop), Kubernetes v1.35.4, envoy-gateway v1.6.1." in picture.caption  # fmt: skip
    assert "one run" in picture.caption
    assert "nan" not in picture.alt + picture.caption
    assert "None" not in picture.alt + picture.caption


@pytest.mark.parametrize("case", COLUMNS)
def test_same_table_same_bytes(case):
    assert fresh(case).png == draw(case).png


@pytest.mark.parametrize("case", CASES)
def test_no_text_is_cut_off_or_printed_over_other_text(case, monkeypatch):
    seen = []
    finish = style.finish
    module = sys.modules[f"llmlab.tiers.gateway.figures.{CASES[case].kind}"]
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


def test_a_burst_counts_what_became_of_each_clients_requests():
    picture = draw("burst")
    first, second = picture.data["clients"]
    assert {key: first[key] for key in ("client", "sent", "admitted", "refused", "failed", "other")} == {
        "client": "team-a", "sent": 4, "admitted": 3, "refused": 1, "failed": 0, "other": 0,
    }  # fmt: skip
    assert {key: second[key] for key in ("admitted", "refused", "failed", "other", "tokenless")} == {
        "admitted": 1, "refused": 2, "failed": 1, "other": 1, "tokenless": 1,
    }  # fmt: skip
    assert second["statuses"] == {"503": 1}
    assert "team-b: 5 requests, 1 admitted, 2 refused with 429, 1 with another status (1 × 503), 1 without any answer" in picture.alt  # fmt: skip
    assert "Of the admitted, 1 got no token" in picture.caption
    assert "Not in the upper panel: 1 request without any answer" in picture.caption


def test_the_most_that_were_queued_at_once_is_counted_to_the_moment():
    data = draw("burst").data
    # from 0.5 s: the second and third of team-a, and that of team-b which never got a token
    assert (data["queued_most"], data["answered_most"]) == (3, 1)
    assert [client["queued_most"] for client in data["clients"]] == [2, 1]
    handed_on = [["a", 0.0, 1.0, 2.0, 200], ["a", 1.0, 2.0, 3.0, 200], ["a", 2.0, 2.0, 2.5, 200]]
    data = figures.burst(made("burst", handed_on)).data
    assert (data["queued_most"], data["answered_most"]) == (1, 2)


def test_a_burst_of_which_nothing_was_admitted():
    data = draw("burst, nothing admitted").data
    assert (data["queued_most"], data["clients"][0]["admitted"], data["clients"][0]["refused"]) == (0, 0, 30)


def test_many_clients_and_long_bursts_are_folded_in_the_picture_only():
    assert len(draw("burst, many clients").data["clients"]) == 9
    six = [[f"client {n}", 0.1 * n, 1.0, 2.0, 200] for n in range(6)]
    assert draw("burst, many clients").size == figures.burst(made("burst", six)).size
    assert (draw("burst").data["bin_s"], draw("burst, long").data["bin_s"]) == (1, 5)


def test_ways_are_compared_by_their_medians():
    picture = draw("ways")
    direct, door, new = picture.data["ways"]
    assert [way["way"] for way in (direct, door, new)] == list(dict.fromkeys(row[0] for row in WAYS))
    assert (direct["count"], direct["p50"], direct["p95"]) == (21, pytest.approx(0.030), pytest.approx(0.039))
    assert [way["added"] for way in (direct, door, new)] == pytest.approx([0, 0.002, 0.003])
    assert [way["connect_p50"] for way in (direct, door, new)] == pytest.approx([0, 0, 0.004])
    assert "through the door: half of 21 requests within 32.0 ms, 95 % within 41.0 ms; the median is 2.00 ms more than direct." in picture.alt  # fmt: skip
    assert "connecting took 4.00 ms before that" in picture.alt
    assert "Each way: 21 requests with a token, one run." in picture.caption


def test_the_guess_is_marked_as_so_much_more_than_the_direct_way():
    table = made("ways", WAYS)
    assert figures.ways(table, guess=1).png != figures.ways(table).png
    assert figures.ways(table, guess=9_000).png == figures.ways(table).png  # beyond the axis


def test_p95_of_few_requests_is_left_out_and_said():
    picture = draw("ways, one")
    assert picture.data["ways"][0]["p95"] is None
    assert "p95 is drawn from 20 requests on" in picture.caption
    assert "p95 is drawn" not in draw("ways").caption


def test_a_way_without_a_token_has_no_median():
    picture = draw("ways, shut")
    shut = picture.data["ways"][-1]
    assert (shut["count"], shut["failed"], shut["p50"], shut["added"]) == (0, 1, None, None)
    assert "through a door that is shut: none of 1 request got a token." in picture.alt
    assert "Not drawn: 1 request without a token." in picture.caption


def test_a_canarys_answers_are_counted_by_stated_share():
    picture = draw("canary")
    data = picture.data
    assert [(it["share"], it["answers"], it["canary"], it["failed"]) for it in data["shares"]] == [
        (0.0, 10, 0, 0),
        (0.25, 20, 5, 1),
        (0.0, 3, 1, 0),
    ]
    assert (data["canaries"], data["after_zero"], data["failed"]) == (["llama-canary"], 1, 1)
    assert "25 % stated: the canary gave 5 of 20 answers (25 %), 1 request failed." in picture.alt
    assert "The last time that 0 % was stated, the canary gave 1 answer." in picture.alt
    assert "In no share: 1 failed request." in picture.caption
    assert "No request failed." in draw("canary, nothing failed").alt


def test_no_bin_goes_over_a_change_of_the_weight():
    bins = draw("canary").data["bins"]
    assert [point["at"] for point in bins] == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.25])
    assert sum(point["answers"] for point in bins) == 33
    assert [point["canary"] for point in bins] == [0, 0, 2, 1, 1, 1, 1]


def test_a_share_that_is_stated_again_is_one_and_zero_counts_until_the_next():
    rows = [
        ["weight", 0.0, "", 0.0], ["answer", 0.5, "v1", None], ["answer", 0.6, "v1", None],
        ["weight", 1.0, "", 0.0], ["answer", 1.5, "v2", None],
        ["weight", 2.0, "", 0.5], ["answer", 2.5, "v2", None],
    ]  # fmt: skip
    data = figures.canary(made("canary", rows)).data
    assert [(it["share"], it["answers"]) for it in data["shares"]] == [(0.0, 3), (0.5, 1)]
    assert (data["canaries"], data["after_zero"]) == (["v2"], 1)  # by what each is called nobody can tell
    assert figures.canary(made("canary", rows[5:])).data["after_zero"] is None


def test_answers_before_any_weight_have_no_stated_share():
    shares = figures.canary(made("canary", [["answer", 0.5, "llama", None], ["weight", 1.0, "", 0.1]])).data["shares"]  # fmt: skip
    assert [(it["share"], it["answers"]) for it in shares] == [(None, 1), (0.1, 0)]


def test_an_answer_at_the_moment_of_a_weight_is_the_new_ones_and_a_name_says_who_the_canary_is():
    rows = [["weight", 0.0, "", 0.1], ["answer", 0.5, "llama-canary", None], ["weight", 1.0, "", 0.0], ["answer", 1.0, "llama", None]]  # fmt: skip
    data = figures.canary(made("canary", rows)).data
    assert [(it["share"], it["answers"], it["canary"]) for it in data["shares"]] == [(0.1, 1, 1), (0.0, 1, 0)]


@pytest.mark.parametrize(("some", "total"), [(0, 10), (5, 20), (20, 20), (1, 1), (300, 1000)])
def test_wilsons_interval_ends_where_the_share_would_be_so_far_off(some, total):
    """At both ends p of the interval, the measured share is 1.96 standard deviations of a binomial with p away (or p is 0 or 1)."""
    low, high = wilson(some, total)
    share = some / total
    for p in (low, high):
        assert (share - p) ** 2 == pytest.approx(1.959964**2 * p * (1 - p) / total, abs=1e-12)
    assert 0 <= low <= share <= high <= 1
    assert low < high


def test_no_answers_leave_every_share_possible():
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_note_is_said():
    assert figures.ways(made("ways", WAYS, "On one machine.")).caption.endswith(" On one machine.")
