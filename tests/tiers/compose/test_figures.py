"""Shares by replica and a dashboard's panels: what is said is what was counted, and an empty panel says so."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import factory
import pytest

from llmlab.errors import LabError
from llmlab.figures import style
from llmlab.records.schema import Table
from llmlab.records.store import read_table, write
from llmlab.tiers.compose.figures.panels import panels, told_apart
from llmlab.tiers.compose.figures.shares import shares


def table(kind: str, columns: str, rows: list[list[object]], note: str | None = None) -> Table:
    return Table(
        kind=kind,
        created="2026-11-24T10:00:00.000+00:00",
        machine=factory.MACHINE,
        columns=dict.fromkeys(columns.split(), ""),
        rows=rows,  # type: ignore[arg-type]
        versions={},
        lab="04-compose",
        note=note,
    )


def counted(*policies: tuple[str, list[tuple[int, int, int]]]) -> Table:
    rows = [
        [policy, f"replica {number}", *counts]
        for policy, replicas in policies
        for number, counts in enumerate(replicas, 1)
    ]
    return table(
        "shares", "policy replica requests prompt_tokens cached_tokens", rows, "12 users, each 3 times again"
    )


THREE = counted(
    ("round robin", [(12, 2500, 1200), (12, 2700, 1000), (12, 2400, 1300)]),
    ("least connections", [(17, 4000, 1200), (12, 2700, 1000), (7, 1900, 200)]),
    ("consistent hash, bounded", [(36, 20, 11000), (0, 0, 0), (0, 0, 0)]),
)


def wave(panel: str, unit: str, series: str, scale: float) -> list[list[object]]:
    return [[panel, unit, series, float(at), scale * (1 + math.sin(at / 5))] for at in range(-60, 1, 2)]


BOARD = table(
    "panels",
    "panel unit series time value",
    [
        *(
            row
            for n in range(3, 6)
            for row in wave("Tokens per second, by replica", "short", f"192.168.48.{n}:8080", 100)
        ),
        *wave("Requests waiting", "short", "waiting", 6),
        *wave("Prompt tokens found in the cache", "percentunit", "cached", 0.5),
        ["KV cache in use, as the server that has no such metric calls it", "percentunit", "", None, None],
    ],
)
DRAW = {"shares": lambda: shares(THREE), "panels": lambda: panels(BOARD)}


def test_a_guess_of_hits_is_marked_on_the_right(monkeypatch):
    seen = []
    module = sys.modules["llmlab.tiers.compose.figures.shares"]
    finish = style.finish
    monkeypatch.setattr(
        module, "finish", lambda figure, **more: seen.append(figure) or finish(figure, **more)
    )
    shares(THREE, guess=0.33)
    shares(THREE, guess="half")
    shares(THREE, guess=33)
    shares(THREE)
    said = [
        [text.get_text() for text in axes.texts].count("your\nguess")
        for figure in seen
        for axes in figure.axes
    ]
    assert said == [0, 1, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("name", DRAW)
def test_the_same_table_gives_the_same_bytes_and_words_with_numbers(name: str) -> None:
    picture = DRAW[name]()
    assert picture.png == DRAW[name]().png
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop)" in picture.caption
    assert len(picture.alt) > 80
    assert "nan" not in (picture.alt + picture.caption).lower()


@pytest.mark.parametrize("name", DRAW)
def test_no_text_is_cut_off_or_printed_over_other_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    finish = style.finish

    def keep(figure: object, **more: object) -> object:
        seen.append(figure)
        return finish(figure, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(sys.modules[f"llmlab.tiers.compose.figures.{name}"], "finish", keep)
    DRAW[name]()
    (figure,) = seen
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    whole = figure.bbox  # type: ignore[attr-defined]
    texts = [text for legend in figure.legends for text in legend.get_texts()]  # type: ignore[attr-defined]
    for axes in figure.axes:  # type: ignore[attr-defined]
        for labels, (low, high), place in (
            (axes.get_yticklabels(), axes.get_ylim(), 1),
            (axes.get_xticklabels(), axes.get_xlim(), 0),
        ):
            texts += [label for label in labels if low <= label.get_position()[place] <= high]
        texts += [*axes.texts, axes.xaxis.label, axes._left_title]
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    boxes = [(artist.get_text(), artist.get_window_extent(renderer)) for artist in texts if artist.get_text()]
    for text, box in boxes:
        assert box.x0 >= whole.x0 - 1, text
        assert box.x1 <= whole.x1 + 1, text
        assert box.y0 >= whole.y0 - 1, text
        assert box.y1 <= whole.y1 + 1, text
    for n, (text, box) in enumerate(boxes):
        for other, second in boxes[n + 1 :]:
            over = (
                min(box.x1, second.x1) - max(box.x0, second.x0),
                min(box.y1, second.y1) - max(box.y0, second.y0),
            )
            assert min(over) < 2, f"{text!r} over {other!r}"


def test_shares_are_of_all_requests_and_hits_of_all_prompt_tokens() -> None:
    first, second, third = shares(THREE).data["policies"]
    assert first["share"] == pytest.approx([1 / 3] * 3)
    assert first["hit_rate"] == pytest.approx(3500 / 11100)
    assert first["hits"][0] == pytest.approx(1200 / 3700)
    assert second["requests"] == [17, 12, 7]
    assert third["share"] == [1, 0, 0]
    assert third["hits"][1] == 0
    alt = shares(THREE).alt
    assert "round robin: 12, 12 and 12 requests by replica, 32 % of prompt tokens from the cache" in alt
    assert "36 requests for each policy" in shares(THREE).caption
    assert "12 users, each 3 times again." in shares(THREE).caption


def test_a_replica_that_joined_late_counts_as_none_before() -> None:
    late = counted(("yours", [(4, 10, 0)]), ("then", [(2, 5, 5), (2, 5, 5)]))
    assert shares(late).data["policies"][0]["requests"] == [4, 0]


def test_nothing_counted_is_an_error() -> None:
    for counts in (counted(), counted(("yours", [(0, 0, 0)]))):
        with pytest.raises(LabError, match="no replica answered"):
            shares(counts)
    with pytest.raises(LabError, match="too many"):
        shares(counted(("yours", [(1, 1, 1)] * 6)))
    with pytest.raises(LabError, match="no panels"):
        panels(table("panels", "panel unit series time value", []))


def test_an_empty_panel_says_so_and_a_share_is_in_percent() -> None:
    picture = panels(BOARD)
    assert "KV cache in use, as the server that has no such metric calls it: no data" in picture.alt
    assert "No data: KV cache in use" in picture.caption
    cached = picture.data["panels"][2]
    assert cached["unit"] == "%"
    assert max(value for _, value in cached["series"]["cached"]) == pytest.approx(100, abs=1)
    assert "over the last 60 s" in picture.caption


def test_a_board_without_any_data_is_drawn() -> None:
    picture = panels(table("panels", "panel unit series time value", [["a", "", "", None, None]]))
    assert picture.alt == "1 panel of the dashboard. a: no data."


def test_more_lines_than_can_be_told_apart_are_left_out_and_said() -> None:
    rows = [row for n in range(8) for row in wave("crowd", "short", f"n{n}", 1 + n)]
    picture = panels(table("panels", "panel unit series time value", rows))
    assert "Only the first 5 lines of crowd" in picture.caption
    assert len(picture.data["panels"][0]["series"]) == 8


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["10.0.0.3:8080", "10.0.0.14:8080"], ["…3", "…14"]),
        (["2xx", "4xx"], ["2xx", "4xx"]),
        (["one"], ["one"]),
        (
            ["a-much-longer-name-than-fits"],
            ["…nger-name-than-fits"[:1] + "a-much-longer-name-than-fits"[-15:]],
        ),
        (["a b", "a b"], ["a b", "a b"]),
    ],
)
def test_names_are_cut_to_what_tells_them_apart(names: list[str], short: list[str]) -> None:
    assert told_apart(names) == short


def test_a_figure_is_drawn_from_the_tables_file_alone(tmp_path: Path) -> None:
    assert shares(read_table(write(THREE, tmp_path / "t.json"))).png == shares(THREE).png
