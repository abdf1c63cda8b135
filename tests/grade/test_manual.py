"""The instructor's own file: read exactly, never overwritten, and wrong in a place that is named."""

from __future__ import annotations

import tomllib
import unicodedata
from datetime import UTC, datetime

import classroom as room
import pytest

from llmlab.errors import LabError
from llmlab.grade.manual import Manual, ManualCheck, ensure_template, read_manual

KEYS = ["Zoë Müller", "alice", "bob@example.org"]
GOOD = """\
["Zoë Müller"]
points = 1.5
comment = "Nice use of kv-unified."
submitted = 2026-11-20T19:00:00+01:00
excused = true
checks.knee = { points = 2, comment = "Right for a wrong reason." }
checks.slots = { comment = "Well put." }

["bob@example.org"]
points = -1
"""


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "manual.toml"

    def go(text, keys=KEYS):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_manual(path, keys, room.POINTS)

    return go


def test_everything_is_read(read):
    assert read(GOOD) == {
        "Zoë Müller": Manual(
            points=1.5,
            comment="Nice use of kv-unified.",
            submitted=datetime(2026, 11, 20, 18, tzinfo=UTC),
            excused=True,
            checks={
                "knee": ManualCheck(2.0, 2, "Right for a wrong reason."),
                "slots": ManualCheck(None, 1, "Well put."),
            },
        ),
        "bob@example.org": Manual(points=-1.0),
    }


def test_windows_and_macs_write_it_too(read):
    for text in (
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n"),
        unicodedata.normalize("NFD", GOOD),
    ):
        assert read(text)["Zoë Müller"].points == 1.5
    decomposed = unicodedata.normalize("NFD", "Zoë Müller")
    assert list(read('["Zoë Müller"]\npoints = 1', [decomposed])) == [decomposed]


def test_the_template_is_written_once_parses_to_nothing_and_its_example_is_right(tmp_path, read):
    path = tmp_path / "grades" / "manual.toml"
    assert ensure_template(path)
    assert read_manual(path, KEYS, room.POINTS) == {}
    example = [line.removeprefix("# ") for line in path.read_text().splitlines()]
    start = next(n for n, line in enumerate(example) if line.startswith("["))
    assert read("\n".join(example[start:]))["Zoë Müller"].checks["knee"].points == 2
    path.write_text(GOOD)
    assert not ensure_template(path)
    assert path.read_text() == GOOD


def test_no_file_is_no_points(tmp_path):
    assert read_manual(tmp_path / "manual.toml", KEYS, room.POINTS) == {}


@pytest.mark.parametrize(
    ("text", "where", "says", "fix"),
    [
        ('["alice"]\npoints = \n', ":2:10", "not TOML", None),
        ('["alice"]\n\n["alice"]\n', ":3:9", "not TOML", None),
        (
            '["alice"]\npoints = 1\n\n["Zoe Müller"]\npoints = 1\n',
            ":4",
            "no learner 'Zoe Müller'",
            "'Zoë Müller'",
        ),
        ("[bob.example]\npoints = 1\n", ":1", "no learner 'bob'", ""),
        ('["alice"]\nchecks.kne = { points = 1 }\n', ":2", "no check 'kne'", "'knee'"),
        ('["alice"]\ncomment = "x"\npoint = 1\n', ":3", "no key 'point'", "'points'"),
        ('["alice"]\nchecks.knee = { point = 1 }\n', ":2", "no key 'point'", "'points'"),
        ('["alice"]\n# points\npoints = "1.5"\n', ":3", "points is '1.5'", "points = 1.5"),
        ('["alice"]\npoints = nan\n', ":2", "points is nan", "points = 1.5"),
        ('["alice"]\npoints = inf\n', ":2", "points is inf", "points = 1.5"),
        ('["alice"]\npoints = true\n', ":2", "points is True", "points = 1.5"),
        ('["alice"]\npoints = 1' + "0" * 400 + "\n", ":2", "points is 1", "points = 1.5"),
        ('["alice"]\nchecks.knee = { points = -1 }\n', ":2", "0 to 2 points, not -1", "points = ..."),
        ('["alice"]\nchecks.knee = { points = 2.5 }\n', ":2", "0 to 2 points, not 2.5", "points = ..."),
        ('["alice"]\nchecks.knee = { points = nan }\n', ":2", "points is nan", "points = 2"),
        ('["alice"]\nchecks.knee = 2\n', ":2", "checks.knee is 2", "{ points = 2"),
        ('["alice"]\n[alice.checks.knee]\npoints = 9\n', ":3", "0 to 2", "points = ..."),
        ('["alice"]\ncomment = 3\n', ":2", "comment is 3", 'comment = "'),
        ('["alice"]\nexcused = "yes"\n', ":2", "excused is 'yes'", "excused = true"),
        (
            '["alice"]\nsubmitted = 2026-11-20T18:00:00\n',
            ":2",
            "Z or an offset",
            "submitted = 2026-11-20T18:00:00Z",
        ),
        ('["alice"]\nsubmitted = "2026-11-20"\n', ":2", "without quotes", "submitted = 2026-11-20T18:00:00Z"),
        ("points = 1\n", ":1", "above the first learner", '["learner"]'),
        (b'["alice"]\ncomment = "caf\xe9"\n', "", "not UTF-8", None),
    ],
)
def test_what_is_wrong_is_named_with_its_line(read, tmp_path, text, where, says, fix):
    with pytest.raises(LabError) as caught:
        read(text)
    assert caught.value.where == f"{tmp_path / 'manual.toml'}{where}"
    assert says in caught.value.what
    assert fix is None or fix in caught.value.fix
    assert (tmp_path / "manual.toml").read_bytes() == (text if isinstance(text, bytes) else text.encode())


def test_one_learner_under_two_spellings_is_said(read):
    both = '["Zoë Müller"]\npoints = 1\n' + unicodedata.normalize("NFD", '["Zoë Müller"]') + "\npoints = 2\n"
    assert len(tomllib.loads(both)) == 2
    with pytest.raises(LabError, match="twice"):
        read(both)
