"""The certificate: the same bytes from the same submission, nobody's text as markup, every change seen, nothing of the machine it was made on."""

from __future__ import annotations

import json
import re
import shutil
import socket

import msgspec
import pages
import pytest
from pages import COURSE, HOSTILE, INFO

from llmlab.certificate import make
from llmlab.certificate.evidence import GradersWord as Seen
from llmlab.certificate.evidence import capstone
from llmlab.certificate.page import MARK, digest
from llmlab.checks import Evidence, Outcome, Result
from llmlab.cli.main import main
from llmlab.course.info import find_lab
from llmlab.course.journal import note
from llmlab.errors import LabError
from llmlab.grade.schema import Graded, Handed
from llmlab.lab import Lab
from llmlab.records import store
from llmlab.submissions.submission import take

DRAWN = 4  # figures


@pytest.fixture(scope="module")
def alice(tmp_path_factory):
    """Her folder, with the page that she made."""
    folder = tmp_path_factory.mktemp("class") / "alice"
    pages.learner(folder).certificate()
    return folder


@pytest.fixture
def copy(alice, tmp_path):
    """The same in another place, to be changed."""
    return shutil.copytree(alice, tmp_path / "handed in")


@pytest.fixture
def result(copy, tmp_path):
    """What a grader made of it."""
    outcome = Outcome(
        check="day", title="The promise is kept", status="passed", points=5.0, max_points=5.0,
        evidence=Evidence("kept", "kept", hidden="s2 killed at 40 s"),
    )  # fmt: skip
    taken = take(copy, INFO, tmp_path / "taken")
    graded = Graded(
        lab=INFO.name,
        learner="Zoë " + HOSTILE,
        key="zoe",
        status="graded",
        handed=Handed(path="zoe", kind="folder", sha256=taken.sha256),
        result=Result(lab=INFO.name, created="2026-12-02T09:00:00+00:00", seed=77123, outcomes=[outcome]),
        graded="2026-12-02T09:10:00+00:00",
        seeds={"checks": 77123},
    )
    path = tmp_path / "result.json"
    path.write_bytes(msgspec.json.encode(graded))
    return path


def text_of(folder) -> str:
    return (folder / make.NAME).read_text()


def test_the_page_has_figures_claims_points_guesses_and_hashes(alice):
    text = text_of(alice)
    assert text.count("data:image/png;base64,") == DRAWN
    assert len(re.findall(r'<img [^>]*alt="[^"]{60,}"', text)) == DRAWN
    assert "33 of 35" in text
    assert "the learner&#x27;s own machine" in text
    assert text.count("✔ the record says") == 5
    assert "kept_percent: you said 99, measured 97.3" in text
    assert "20 servers" in text or "60 servers" in text
    for name in ("plan.toml", "answers.toml", "records/day.json", "records/costs.json"):
        assert re.search(rf"{name}</td><td><code>[0-9a-f]{{64}}</code>", text), name
    assert "seed 0" in text


def test_the_same_submission_gives_the_same_bytes_wherever_and_however_it_is_packed(alice, copy, tmp_path):
    mine = (alice / make.NAME).read_bytes()
    zipped = shutil.make_archive(str(tmp_path / "packed"), "zip", alice)
    assert make.made(INFO, copy).encode() == mine
    assert make.made(INFO, type(alice)(zipped)).encode() == mine


def test_nothing_of_clock_path_or_host_is_in_it(alice):
    text = text_of(alice)
    assert str(alice.parent) not in text
    assert str(COURSE) not in text
    assert "/root" not in text
    assert "/home" not in text
    assert socket.gethostname() not in re.sub(r"base64,[^\"]+|[0-9a-f]{64}", "", text)


def test_what_is_done_afterwards_changes_no_page_and_another_plan_does(copy):
    before = make.made(INFO, copy)
    note(copy, "kept_percent", predicted=1, observed=2)
    later = msgspec.structs.replace(pages.day(), created="2999-01-01T00:00:00.000+00:00")
    store.write(later, copy / "records" / "later.json")
    assert make.made(INFO, copy) == before
    plan = copy / "plan.toml"
    plan.write_text(plan.read_text().replace("max_queue = 12", "max_queue = 13"))
    assert make.made(INFO, copy) != before


def test_a_learners_text_is_never_markup(tmp_path):
    lab = pages.learner(tmp_path / "mallory", says=HOSTILE)
    lab.certificate()
    text = text_of(lab.files)
    assert "&lt;script&gt;" in text
    assert "<script" not in text.lower()
    assert "<img src=x" not in text
    assert not re.search(r"(?:src|href)=\"(?!data:image/png)", text), "an outside resource"
    assert "url(" not in text


def test_a_change_of_one_digit_is_seen_also_where_its_hash_was_made_to_fit(copy, capsys):
    page = copy / make.NAME
    assert main(["certificate", "--verify", str(page)]) == 0
    assert main(["certificate", "--from", str(copy), "--verify", str(page)]) == 0
    assert "byte for byte" in capsys.readouterr().out
    forged = page.read_text().replace("33 of 35", "35 of 35")
    page.write_text(forged)
    assert main(["certificate", "--verify", str(page)]) == 1
    assert "was changed after it was made" in capsys.readouterr().err
    page.write_text(MARK.sub(digest(forged), forged))
    assert main(["certificate", "--verify", str(page)]) == 0, "whole in itself"
    assert main(["certificate", "--from", str(copy), "--verify", str(page)]) == 1
    assert "is not the page of this submission" in capsys.readouterr().err


def test_an_instructors_page_has_the_graders_points_and_no_hidden_input(copy, result, tmp_path, capsys):
    line = ["certificate", "--from", str(copy), "--graded", str(result), "--out"]
    assert main([*line, str(tmp_path / "a.html")]) == 0
    assert main([*line, str(tmp_path / "b.html")]) == 0
    text = (tmp_path / "a.html").read_text()
    assert text == (tmp_path / "b.html").read_text()
    assert "2026-12-02: 5 of 5 points in the capstone, by an instructor&#x27;s grader" in text
    assert "Each lab, by the learner&#x27;s own machine" in text
    assert "Zoë &lt;script&gt;" in text
    assert "s2 killed at 40 s" not in text
    assert "77123" not in text
    assert main([*line[:-1], "--verify", str(tmp_path / "a.html")]) == 0
    (copy / "answers.toml").write_text("")
    assert main([*line, str(tmp_path / "c.html")]) == 1
    assert "The result is of another submission" in capsys.readouterr().err


def test_a_page_says_what_was_not_handed_in(copy):
    for name in ("day.json", "costs.json"):
        (copy / "records" / name).unlink()
    (copy / "answers.toml").unlink()
    text = make.made(INFO, copy)
    assert "No record of it (day) was handed in" in text
    assert "answers.toml was not handed in" in text
    for path in (copy / "records").glob("*progress.json"):
        path.unlink()
    with pytest.raises(LabError, match="No points were kept"):
        make.made(INFO, copy)


def test_a_table_that_cannot_be_drawn_is_said(copy):
    path = copy / "records" / "needed.json"
    table = json.loads(path.read_text())
    table["columns"] = {name.replace("servers", "serfs"): unit for name, unit in table["columns"].items()}
    path.write_text(json.dumps(table))
    text = make.made(INFO, copy)
    assert "records/needed.json cannot be drawn" in text


def test_other_labs_have_none_and_a_grader_makes_none(tmp_path, monkeypatch):
    assert capstone(COURSE).name == INFO.name
    (tmp_path / "one").mkdir()
    with pytest.raises(LabError, match="Lab 01 has no certificate"):
        Lab(find_lab("01", COURSE), tmp_path / "one").certificate()
    assert not list((tmp_path / "one").rglob("*progress*"))
    monkeypatch.setenv("LLMLAB_GRADING", "1")
    assert "from what you hand in" in repr(Lab(INFO, tmp_path / "one").certificate())


def test_without_points_kept_a_graded_page_says_so(copy, tmp_path):
    for path in (copy / "records").glob("*progress.json"):
        path.unlink()
    result = Result(lab=INFO.name, created="2026-12-02T09:00:00+00:00", seed=1, outcomes=[])
    text = make.made(INFO, copy, Seen("Ann", result, "2026-12-02T09:00:00+00:00"))
    assert "Points of the other labs were not handed in" in text


@pytest.mark.needs("browser")
def test_printed_it_is_a4_and_nothing_is_cut(alice, tmp_path):
    from playwright.sync_api import sync_playwright

    from llmlab import doctor

    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=doctor.browser_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 680, "height": 900})  # 180 mm: A4 without its margins
        loads = []
        page.on("request", lambda request: loads.append(request.url))
        page.goto((alice / make.NAME).as_uri())
        page.emulate_media(media="print")
        wide = page.evaluate(
            "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 1 "
            "|| e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display != 'inline').map(e => e.tagName)"
        )
        pictures = page.evaluate(
            "[...document.images].map(i => i.complete && i.naturalWidth > 100 && i.getBoundingClientRect().height < 990)"
        )
        printed = page.pdf(prefer_css_page_size=True)
        browser.close()
    assert wide == []
    assert pictures == [True] * DRAWN
    assert [url for url in loads if not url.startswith(("file:", "data:"))] == []
    sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    assert 4 <= len(sizes) <= 8
    assert {(round(float(w) / 72 * 25.4), round(float(h) / 72 * 25.4)) for w, h in sizes} == {(210, 297)}
