"""Exposure by directive: what is drawn is what systemd said, and what was closed is called closed."""

from __future__ import annotations

import factory
import pytest

from llmlab.errors import LabError
from llmlab.records.schema import Table
from llmlab.records.store import read_table, write
from llmlab.tiers.systemd import figures


def table(*rows: list[object], kind: str = "exposure") -> Table:
    return Table(
        kind=kind,
        created="2026-11-24T10:00:00.000+00:00",
        machine=factory.MACHINE,
        columns=dict.fromkeys(("unit", "directive", "exposure"), ""),
        rows=list(rows),  # type: ignore[arg-type]
        versions={"systemd": "257"},
        lab="05-bare-metal",
    )


TWO = (
    ["old", "overall", 9.0],
    ["old", "CapabilityBoundingSet", 0.3],
    ["old", "CapabilityBoundingSet", 0.2],
    ["old", "ProtectHome", 0.2],
    ["old", "PrivateNetwork", 0.5],
    ["old", "KeyringMode", None],
    ["new", "overall", 1.1],
    ["new", "CapabilityBoundingSet", None],
    ["new", "CapabilityBoundingSet", None],
    ["new", "ProtectHome", None],
    ["new", "PrivateNetwork", 0.5],
    ["new", "KeyringMode", None],
)


def test_a_guess_of_the_total_is_marked_beside_the_totals(monkeypatch):
    seen = []
    finish = figures.finish
    monkeypatch.setattr(
        figures, "finish", lambda figure, **more: seen.append(figure) or finish(figure, **more)
    )
    for guess in ({"guess": 5}, {"guess": 11}, {"guess": "much"}, {}):
        figures.exposure(table(*TWO), bound=2.5, **guess)
    said = [
        [[text.get_text() for text in axes.texts].count("your guess") for axes in figure.axes]
        for figure in seen
    ]
    assert said == [[1, 0], [0, 0], [0, 0], [0, 0]]


def test_tests_of_one_directive_are_added_up_and_what_was_never_open_is_left_out():
    picture = figures.exposure(table(*TWO), bound=2.5)
    assert picture.data["overall"] == [9.0, 1.1]
    assert picture.data["directives"] == {
        "CapabilityBoundingSet": [0.5, 0.0],
        "PrivateNetwork": [0.5, 0.5],
        "ProtectHome": [0.2, 0.0],
    }
    assert next(iter(picture.data["directives"])) == "CapabilityBoundingSet", (
        "of those alike, the closed one first"
    )
    assert picture.data["closed"] == 2


def test_words_say_the_totals_the_bound_and_what_is_still_open():
    picture = figures.exposure(table(*TWO), bound=2.5)
    assert "old 9.0, new 1.1 of 10" in picture.alt
    assert "The bound is 2.5." in picture.alt
    assert "Still open: PrivateNetwork 0.5." in picture.alt
    assert "systemd 257" in picture.caption
    assert "rounded up to a tenth" in picture.caption
    assert "bound" not in figures.exposure(table(*TWO)).alt


def test_the_same_table_gives_the_same_bytes_also_when_read_back(tmp_path):
    path = write(table(*TWO), tmp_path / "one.json")
    assert figures.exposure(read_table(path)).png == figures.exposure(table(*TWO)).png
    assert figures.exposure(table(*TWO), bound=2.5).png != figures.exposure(table(*TWO)).png


def test_a_unit_that_nobody_edited_claims_nothing_closed():
    same = [[unit, name, share] for unit in ("old", "new") for _, name, share in TWO[:6]]
    picture = figures.exposure(table(*same))
    assert picture.data["closed"] == 0
    assert "Still open" not in picture.alt


@pytest.mark.parametrize("rows", [(), TWO[:6]])
def test_less_than_two_units_cannot_be_compared(rows):
    with pytest.raises(LabError, match="compares the exposure of two units"):
        figures.exposure(table(*rows))
    with pytest.raises(LabError, match="of kind shares"):
        figures.exposure(table(*TWO, kind="shares"))
