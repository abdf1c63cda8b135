"""The CSV file that spreadsheets and learning platforms read, and the terminal's summary."""

from __future__ import annotations

import csv
import os

import classroom as room
import pandas as pd
import pytest

from llmlab.errors import LabError
from llmlab.grade.gradebook import FORMULA, HEAD, summary, write_gradebook, write_whole
from llmlab.grade.manual import Manual, ManualCheck

CHECKS = list(room.POINTS.items())


def rows(*graded, **kw):
    return [(submission, room.scored(submission, **kw)) for submission in graded]


def read(path):
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def book(tmp_path):
    def write(given):
        write_gradebook(tmp_path / "grades.csv", given, CHECKS)
        return read(tmp_path / "grades.csv")

    return write


def test_every_column_and_every_cell(book, tmp_path):
    hand = Manual(points=1.5, comment="Fine.", checks={"knee": ManualCheck(2, 2, "Fair.")})
    found = book(rows(room.rich(), manual=hand))[0]
    names = list(room.POINTS)
    assert list(found) == [*HEAD, *names, *(f"{name} status" for name in names), "comment"]
    assert found["learner"] == "Zoë Müller"
    assert (found["score"], found["max"], found["uncounted"], found["manual"]) == ("6.74", "12", "1", "1.5")
    assert (found["late_days"], found["late_share"], found["submitted"]) == (
        "2",
        "0.2",
        "2026-11-22T00:00:00+00:00",
    )
    assert (found["starts"], found["context-per-slot"], found["goodput"]) == ("1", "0", "0")
    assert (found["counters"], found["counters status"]) == ("", "inconclusive"), "nobody judged it: no zero"
    assert found["comment"] == "Fine.\nknee: Fair."
    frame = pd.read_csv(tmp_path / "grades.csv")
    assert frame["learner"][0] == "Zoë Müller"
    assert frame["score"].dtype == float


@pytest.mark.parametrize("name", room.HOSTILE)
def test_hostile_names_come_back_and_start_no_formula(book, name):
    found = book(rows(room.graded("k", learner=name), room.graded("next")))
    assert len(found) == 2
    back = found[0]["learner"]
    assert back.removeprefix("'") == name or back == name
    assert not back.lstrip(" ").startswith(FORMULA)
    assert (back != name) == name.lstrip(" ").startswith(FORMULA)
    assert found[1]["learner"] == "next"


def test_a_formula_in_a_reason_or_a_comment_is_defused_and_a_negative_number_stays_one(book, tmp_path):
    found = book(rows(room.graded(), manual=Manual(points=-1, comment="=1+1")))[0]
    assert (found["manual"], found["comment"]) == ("-1", "'=1+1")
    assert ",-1," in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig"), "a number, without quotes"


def test_a_comma_of_another_country_opens_no_cell(book, tmp_path):
    book(rows(room.graded("k", learner="a;=b")))
    assert '"a;=b"' in (tmp_path / "grades.csv").read_text(encoding="utf-8-sig")


def test_excel_sees_utf8_and_a_lone_surrogate_stops_nothing(book, tmp_path):
    book(rows(room.graded("k", learner="caf\udce9")))
    assert (tmp_path / "grades.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert "udce9" in read(tmp_path / "grades.csv")[0]["learner"]


def test_a_rerun_gives_the_same_bytes_in_whatever_order_and_time(tmp_path):
    one, other = room.graded("a"), room.graded("B", knee="failed")
    write_gradebook(tmp_path / "1.csv", rows(one, other), CHECKS)
    later = room.graded("a", graded="2027-01-01T00:00:00+00:00", seconds=99.0, cpu_seconds=3.0)
    write_gradebook(tmp_path / "2.csv", rows(other, later), CHECKS)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_what_the_grader_broke_has_no_score_and_what_was_refused_has_none_to_boast_of(book):
    broken, refused = (
        {row["key"]: row for row in book(rows(room.broken(), room.refused()))}[key]
        for key in ("unlucky", "bomb")
    )
    assert (broken["status"], broken["score"], broken["review"]) == ("error", "", "grader error")
    assert (refused["status"], refused["score"], refused["knee"]) == ("refused", "0", "")
    assert "root" not in str(broken)


def test_a_row_with_much_undecided_has_no_score_and_is_looked_at(book):
    found = book(rows(room.undecided()))[0]
    assert (found["score"], found["uncounted"], found["automatic"]) == ("", "3", "7")
    assert found["review"].startswith("no score yet: 3 of 12 points are undecided; ")
    hand = Manual(checks={"closed-door": ManualCheck(2, 2)})
    decided = book(rows(room.undecided(), manual=hand))[0]
    assert (decided["score"], decided["uncounted"]) == ("9.82", "3"), "9 of the 11 that were judged"


def test_the_old_gradebook_stays_when_the_new_one_cannot_be_written(tmp_path, monkeypatch):
    path = tmp_path / "grades.csv"
    path.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(LabError, match="No space left"):
                write_gradebook(path, rows(room.graded()), CHECKS)
        assert path.read_text() == "old"
        assert [file.name for file in tmp_path.iterdir()] == ["grades.csv"]


def test_ctrl_c_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_text("old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_summary_counts_and_puts_the_hardest_check_first():
    lines = summary(
        rows(
            room.graded("a", knee="failed", goodput="failed"),
            room.graded("b", knee="failed"),
            room.graded("c"),
            room.graded("d", counters="inconclusive"),
            room.refused(),
            room.broken(),
        )
    )
    assert lines[0] == "6 submissions: 4 graded, 1 refused, 1 grader error"
    assert lines[1] == "score: mean 10.50, median 11.00 of 12, of 4 graded"
    assert lines[2].split() == ["knee", "2", "of", "4", "passed", "(2", "failed)"]
    assert lines[3].split() == ["goodput", "3", "of", "4", "passed", "(1", "failed)"]
    assert lines[-4:] == [
        "to look at: 3",
        "  bomb: refused: the zip unpacks to 40 GB",
        "  d: inconclusive: counters",
        "  unlucky: grader error",
    ]


@pytest.mark.parametrize("name", room.HOSTILE)
def test_a_name_can_do_nothing_to_the_terminal(name):
    text = "\n".join(summary(rows(room.graded("k", learner=name, counters="inconclusive"))))
    assert all(char == "\n" or char.isprintable() for char in text)
    assert len(text.splitlines()) == 2 + 7 + 2
    assert max(map(len, text.splitlines())) < 400


def test_an_empty_class_is_no_error(book):
    assert book([]) == []
    assert summary([]) == ["0 submissions: 0 graded, 0 refused"]
