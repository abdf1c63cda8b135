"""Claims: a number equals what its record says within the record's own spread, or the claim is refused in words."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from llmlab.capacity import claims
from llmlab.capacity.claims import StatedClaim, figure
from llmlab.errors import LabError
from llmlab.machine import describe
from llmlab.records import store
from llmlab.records.schema import Table

GOOD = """\
[[claim]]
topic = "Cost"
says = "always on is dear at night"
value = 1.1
unit = "dollars"
record = "costs.json"
of = "dollars"
where = { plan = "always on" }
"""


@pytest.fixture
def records(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    rows = [
        ["always on", 0.1, 1.0],
        ["always on", 0.2, 1.2],
        ["autoscaled", 0.1, 0.5],
        ["nothing", 0.1, None],
    ]
    table = Table(
        kind="costs",
        created="2026-11-30T10:00:00+00:00",
        machine=describe(),
        columns={"plan": "name", "utilisation": "share", "dollars": "US dollars"},
        rows=rows,
        versions={},
    )
    store.write(table, folder / "costs.json")
    return folder


def claim(**changes) -> StatedClaim:
    (one,) = read(GOOD)
    return msgspec.structs.replace(one, **changes)


def read(text: str, path: Path | None = None):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "answers.toml"
        file.write_text(text)
        return claims.read(file)


def test_a_figure_is_what_the_chosen_rows_say(records):
    found = figure(claim(), records)
    assert (found.low, found.median, found.high, found.n, found.unit) == (1.0, 1.1, 1.2, 2, "US dollars")
    assert [found.agrees(value) for value in (0.9, 0.99, 1.1, 1.22, 1.3)] == [False, True, True, True, False]
    alone = figure(claim(where={"plan": "autoscaled"}), records)
    assert [alone.agrees(value) for value in (0.48, 0.495, 0.52)] == [False, True, False]


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"record": "none.json"}, "There is no records/none.json"),
        ({"record": "../answers.toml"}, "There is no records/"),
        ({"of": "euros"}, "no column 'euros'"),
        ({"where": {"planet": "x"}}, "no column 'planet'"),
        ({"where": {"plan": "nothing"}}, "no number in 'dollars'"),
        ({"where": {"plan": "never"}}, "no number in 'dollars'"),
        ({"of": "plan"}, "no number in 'plan'"),
    ],
)
def test_what_a_record_does_not_say(records, changes, what):
    with pytest.raises(LabError, match=what):
        figure(claim(**changes), records)


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        (GOOD.replace("value = 1.1", 'value = "1.1"'), "value is '1.1'", "answers.toml:4"),
        (GOOD.replace("unit", "units"), "units", "answers.toml:5"),
        (GOOD.replace('topic = "Cost"\n', ""), "lacks topic", "answers.toml"),
        ("claim = 3\n", "claim is 3", "answers.toml:1"),
        ("[[claim\n", "cannot be read", "answers.toml"),
        ("", "lacks claim", "answers.toml"),
    ],
)
def test_a_file_that_is_no_list_of_claims(text, what, where):
    with pytest.raises(LabError) as caught:
        read(text)
    assert what in caught.value.what
    assert (caught.value.where or "").startswith(where)


def test_no_file(tmp_path):
    with pytest.raises(LabError, match=r"no answers\.toml"):
        claims.read(tmp_path / "answers.toml")
