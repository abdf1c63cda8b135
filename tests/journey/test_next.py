"""What a check says to do next, and where it leads."""

from __future__ import annotations

import json
import re
import shutil
from html import escape
from pathlib import Path

import factory
import msgspec
import pytest

from llmlab import Lab, LabError
from llmlab.checks import Evidence, Outcome, Result
from llmlab.checks.page import COLOURS, bar, first_to_mend, linked, page
from llmlab.course import journal, progress
from llmlab.course.checked import AllPassed, Checked, next_lab
from llmlab.course.info import all_labs, find_lab
from llmlab.records.store import write

COURSE = Path(__file__).resolve().parents[2]
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text("utf-8"))


def outcome(check, status, **more):
    given = {"title": f"{check} is right", "points": 2.0 if status == "passed" else 0.0, "max_points": 2.0}
    return Outcome(check=check, status=status, **given | more)


def made(*outcomes, lab="01-one-server"):
    return Result(lab=lab, created="2026-11-30T12:00:00+00:00", seed=0, outcomes=list(outcomes))


RED = made(
    outcome("starts", "passed", evidence=Evidence("it starts", "after 0.2 s")),
    outcome("waits", "skipped", reason="needs door to pass first", waits=["door"]),
    outcome("unsure", "inconclusive", reason="too noisy"),
    outcome("door", "failed", evidence=Evidence("a door", "server.toml, line 7: <none>", "lab.serve()")),
    outcome("knee", "failed", evidence=Evidence("a number", "None")),
    outcome("here-not", "skipped", reason="this machine lacks docker", lacks=["docker"]),
    outcome("world", "passed", realism="emulated", stands_in="the internet"),
)
GREEN = made(outcome("starts", "passed"), outcome("door", "passed"))


@pytest.fixture
def info(tmp_path):
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs", "solutions"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    return find_lab("01", tmp_path)


def test_the_page_begins_with_the_first_check_that_failed(info):
    said = Checked(RED, info, complete=True)
    assert said.next.check == "door"
    text, html = str(said), said._repr_html_()
    assert text.splitlines()[1].startswith("Next: ✘ door:")
    assert 'lab.hint("door")' in text
    assert html.index("Next:") < html.index("<code>door</code>") < html.index("<code>knee</code>")
    assert (
        html.index("<code>knee</code>") < html.index("more wait for this") < html.index("<code>waits</code>")
    )
    shown = html[: html.index("<details")]
    assert [name for name in ("waits", "starts", "world") if f"<code>{name}</code>" in shown] == []
    assert "1 not run here" in html
    assert html.count("the internet") == text.count("the internet") == 1
    assert "2 of 7" in text
    assert "&lt;none&gt;" in html


def test_what_could_not_be_judged_comes_next_when_nothing_failed(info):
    assert (
        first_to_mend(made(outcome("a", "passed"), outcome("b", "inconclusive", reason="noisy"))).check == "b"
    )
    assert first_to_mend(GREEN) is None
    error = made(outcome("a", "inconclusive"), outcome("b", "error", reason="a bug"))
    assert first_to_mend(error).check == "b"


def test_at_green_one_knows_what_one_can_do_and_where_to_go(info):
    said = Checked(GREEN, info, complete=True)
    assert said.next is None
    for text in (str(said), said._repr_html_()):
        assert info.objectives[0] in text
        assert "02 · Budgets" in text
        assert f"0 of {len(all_labs(COURSE))}" in text
    assert 'href="../02-budgets/02-budgets.ipynb"' in said._repr_html_()
    part = Checked(GREEN, info, complete=False)
    assert "Go on with the next cell" in str(part)
    assert "02 · Budgets" not in str(part) + part._repr_html_()


def test_the_next_lab_is_one_that_is_there(info):
    labs = all_labs(info.folder.parent.parent)
    assert [next_lab(lab).name for lab in labs[:-1]] == [lab.name for lab in labs[1:]]
    assert next_lab(labs[-1]) is None
    shutil.rmtree(info.folder.parent / "02-budgets")
    assert next_lab(info).number == "03"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("server.toml, line 7: no such flag", ["server.toml#line=6"]),
        ("server.toml:1 says so", ["server.toml#line=0"]),
        ("policies/haproxy.cfg:12 and haproxy.cfg", ["policies/haproxy.cfg#line=11", "haproxy.cfg"]),
        ("in my-server.toml and server.toml.bak", []),
        ('lab.serve("server.toml")', ["server.toml"]),
        ("<server.toml>", ["server.toml"]),
    ],
)
def test_files_of_the_lab_are_links_to_their_line(text, addresses):
    html = linked(text, ["server.toml", "haproxy.cfg", "policies/haproxy.cfg"])
    assert re.findall(r'href="([^"]+)"', html) == addresses
    assert re.sub(r"</?a[^>]*>", "", html) == escape(text)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded["lab"])
def test_real_results_of_real_starters_make_a_page(recorded):
    """Results that starters of the course left behind on a machine of ours."""
    result = msgspec.convert(recorded, Result)
    html = Checked(result, find_lab(result.lab, COURSE), complete=True)._repr_html_()
    first = first_to_mend(result)
    assert html.index(f"<code>{first.check}</code>") == html.index("<code>")
    for part in result.outcomes:
        assert html.count(f"<code>{part.check}</code>") == 1, part.check
    assert html.count("<div") == html.count("</div>")
    assert html.count("<details>") == html.count("</details>")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("ground", ["#FFFFFF", "#111111"])
def test_signs_can_be_told_from_the_page_in_both_themes(ground):
    """WCAG 2.2, 1.4.11: 3 for a graphical sign; all words have the theme's own text colour."""
    for name, colour in COLOURS.items():
        low, high = sorted((luminance(colour), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3, (name, ground)
    colours = re.findall(r"color:(#\w+)", page(RED))
    assert set(colours) <= set(COLOURS.values())
    assert not re.search(r'style="color:[^"]*">[^<]*[a-z]', page(RED)), "words in a colour of ours"


def test_the_bar_is_as_long_as_it_says():
    assert bar(0, 7).count("▓") == 0
    assert bar(7, 7).count("░") == 0
    assert bar(3, 0) == "3 of 0 " + "░" * 12


def test_partial_checks_are_remembered_until_all_are_looked_at(info):
    files = info.folder
    progress.note_result(info, files, made(outcome("starts", "passed")), complete=False)
    progress.note_result(info, files, made(outcome("knee", "failed")), complete=False)
    assert "passed: starts" in progress.so_far(info, files)
    assert progress.standing(info) != "✔ done"
    progress.note_result(info, files, RED)
    assert "so far 4 of 12 points; passed: starts, world" in progress.so_far(info, files)
    assert progress.done(info.folder.parent.parent)[0] == 0
    progress.note_result(info, files, GREEN)
    assert progress.so_far(info, files).startswith("✔ done")
    assert progress.done(info.folder.parent.parent)[0] == 1


def test_a_hint_at_green_is_the_next_lab(info, monkeypatch):
    monkeypatch.setenv("LLMLAB_COURSE", str(info.folder.parent.parent))
    lab = Lab.here("01")
    progress.note_result(info, info.folder, GREEN)
    assert isinstance(lab.hint(), AllPassed)
    assert "02 · Budgets" in str(lab.hint())
    progress.note_result(info, info.folder, made(outcome("starts", "passed"), outcome("knee", "failed")))
    assert lab.hint().check == "knee"


def test_a_step_that_passed_is_not_the_whole_lab(info, monkeypatch):
    monkeypatch.setenv("LLMLAB_COURSE", str(info.folder.parent.parent))
    lab = Lab.here("01")
    lab.result = Checked(made(outcome("starts", "passed")), info, complete=False)
    assert not isinstance(lab.hint(), AllPassed)
    lab.result = Checked(made(outcome("knee", "failed")), info, complete=False)
    assert lab.hint().check == "knee"
    progress.note_result(info, info.folder, made(outcome("knee", "failed")))
    lab.result = Checked(made(outcome("starts", "passed")), info, complete=False)
    assert lab.hint().check == "knee"


# -- the journal ------------------------------------------------------------------------------------


def test_a_guess_is_answered_by_its_measurement_and_kept(info, monkeypatch):
    monkeypatch.setenv("LLMLAB_COURSE", str(info.folder.parent.parent))
    lab = Lab.here("01")
    assert lab.guess("gain") is None
    lab.predict(gain=2.0, refused=True)
    lab.predict(gain=2.5)
    assert lab.guess("gain") == 2.5
    assert str(lab.compare(gain=2.0)) == "gain: you said 2.5, measured 2 (you were 25 % above)"
    assert lab.guess("gain") == 2.5, "an answered guess is still the guess"
    assert str(lab.compare(refused=False)) == "refused: you said yes, measured no"
    assert str(lab.compare(other=3)) == "other: measured 3; you made no guess"
    assert str(lab.compare(gain=float("nan"))) == "gain: nothing was measured here"
    journal.note(lab.files, "asia", done="asia killed", restored="asia started")
    text = str(lab.journal())
    assert len(lab.journal().entries) == 7
    assert "asia killed restored: asia started" in text
    assert "gain: you said 2.5, measured 2" in text
    assert "<table>" in lab.journal()._repr_html_()


@pytest.mark.parametrize(
    ("guess", "measured", "end"),
    [
        (4, 4, " ✔"),
        (4.1, 4, " (within 10 % ✔)"),
        (2, 4, " (you were 50 % below)"),
        (100, 1, ""),
        (1, 0, ""),
        (0, 3, ""),
        ("less", "less", " ✔"),
        (True, True, " ✔"),
        (True, 1.5, ""),
    ],
)
def test_how_far_off_a_guess_was(guess, measured, end):
    text = journal.answer("x", guess, measured)
    assert text == f"x: you said {journal.said(guess)}, measured {journal.said(measured)}{end}"


def test_a_broken_journal_loses_only_its_broken_lines(tmp_path):
    journal.note(tmp_path, "one", predicted=1)
    path = tmp_path / "records" / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"at": "2026", "wh\n\xff\xfe\n[]\n')
    journal.note(tmp_path, "two", predicted=2)
    assert [entry.what for entry in journal.read(tmp_path)] == ["one", "two"]
    assert journal.read(tmp_path / "nowhere") == []


def test_a_folder_that_cannot_be_written_to_stops_nobody(tmp_path):
    (tmp_path / "records").write_text("a file where the folder would be")
    assert journal.note(tmp_path, "x", predicted=1).predicted == 1
    assert journal.read(tmp_path) == []


def test_an_error_leads_to_its_line():
    """JupyterLab makes a link of `FILE:LINE` in what a cell prints."""
    error = LabError("No such flag.", where="labs/01/server.toml, line 9", fix="see line 9, line 10")
    shown = error._render_traceback_()
    assert shown[1].strip() == "where: labs/01/server.toml:9"
    assert shown[2].strip() == "fix:   see line 9, line 10"
    assert "server.toml, line 9" in str(error), "in a shell as ever"


def test_the_newest_measurement_is_there_after_a_restart(info, monkeypatch):
    monkeypatch.setenv("LLMLAB_COURSE", str(info.folder.parent.parent))
    lab = Lab.here("01")
    assert lab.last is None
    records = info.folder / "records"
    write(factory.sweep(), records / "20261130T120000-load.json")
    (records / "20261130T130000-states.json").write_text('{"schema": "llmlab/table/1"}')
    (records / "20261130T140000-load.json").write_text("cut o")
    assert lab.last.path.name == "20261130T120000-load.json"
