"""The figure of images says what the surveys hold: sizes, builds, starts, and what does not start."""

from __future__ import annotations

import factory
import pytest

from llmlab.errors import LabError
from llmlab.records.schema import Table
from llmlab.records.store import read_table, write
from llmlab.tiers.docker import figures

COLUMNS = {
    "image": "name",
    "what": "kind",
    "label": "label",
    "bytes": "bytes",
    "seconds": "s",
    "rate": "tokens/s",
}


def survey(name: str, *, starts: bool = True, speed: float | None = None) -> Table:
    rows = [
        [name, "build", "cold", None, 12.5, None],
        [name, "build", "warm", None, 0.4, None],
        [name, "layer", "base", 80_000_000, None, None],
        [name, "layer", "RUN apt-get update && apt-get install -y curl", 14_000_000, None, None],
        [name, "layer", "COPY x /", 10_000, None, None],
    ]
    rows += [
        [name, "start", what, None, s, None]
        for s in (0.8, 0.9, 1.2)
        for what in ("answers", "healthy")
        if starts
    ]
    rows += [[name, "speed", "20m", None, None, speed]] if speed else []
    return Table(
        kind="image",
        created="2026-11-25T00:00:00+00:00",
        machine=factory.MACHINE,
        columns=COLUMNS,
        rows=rows,
        versions={"docker": "20.10"},
        note=None if starts else f"{name} does not start: code 127",
    )


def test_a_guess_of_seconds_is_marked_in_the_panel_of_the_builds(monkeypatch):
    seen = []
    finish = figures.finish
    monkeypatch.setattr(
        figures, "finish", lambda figure, **more: seen.append(figure) or finish(figure, **more)
    )
    for guess in ({"guess": 5}, {"guess": "soon"}, {}):
        figures.images([survey("mine")], **guess)
    said = [
        [[text.get_text() for text in axes.texts].count("your guess") for axes in figure.axes]
        for figure in seen
    ]
    assert said == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_it_says_sizes_builds_and_starts_in_words_and_numbers():
    picture = figures.images([survey("theirs", starts=False), survey("mine")])
    assert "theirs: 94 MB in 3 layers" in picture.alt
    assert "it does not start" in picture.alt
    assert "mine" in picture.alt
    assert "answers after 0.9 s" in picture.alt
    assert "n = 3" in picture.caption
    assert "AMD EPYC 7763, 2 cores, 8 GiB (laptop)" in picture.caption
    assert [image["bytes"] for image in picture.data["images"]] == [94_010_000.0] * 2
    assert picture.png == figures.images([survey("theirs", starts=False), survey("mine")]).png


def test_a_panel_for_speed_only_where_speed_was_measured():
    assert figures.images([survey("a", speed=900.0)]).size[1] > figures.images([survey("a")]).size[1]


def test_another_kind_of_table_is_refused(tmp_path):
    table = Table(
        kind="exposure", created="", machine=factory.MACHINE, columns={"a": ""}, rows=[["x"]], versions={}
    )
    with pytest.raises(LabError, match="surveys of images"):
        figures.images([table])
    assert read_table(write(table, tmp_path / "t.json")) == table


def test_a_record_is_no_table_and_says_so(tmp_path):
    (tmp_path / "r.json").write_text('{"schema": "llmlab/record/1"}')
    with pytest.raises(LabError, match="not a record of llmlab/table/1"):
        read_table(tmp_path / "r.json")
