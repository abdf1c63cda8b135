"""The learner's page: complete, readable, and deaf to whatever a submission writes into it."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from html.parser import HTMLParser
from itertools import pairwise

import classroom as room
import msgspec
import pytest

from llmlab import doctor
from llmlab.course.hints import read_hints
from llmlab.course.journal import Noted
from llmlab.grade.feedback import feedback_page
from llmlab.grade.manual import Manual, ManualCheck
from llmlab.show.markup import POLICY

HINTS = read_hints(room.INFO.folder / "hints.md")
HAND = Manual(points=1.5, comment="Nice.", checks={"knee": ManualCheck(2, 2, "Right for a wrong reason.")})
VOID = {"meta"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "main", "header", "section", "article", "footer", "h1", "h2", "h3", "p", "bdi",
    "strong", "span", "a", "code", "pre", "dl", "dt", "dd", "ul", "li", "details", "summary",
}  # fmt: skip


class Page(HTMLParser):
    """A page taken apart; refuses tags that do not balance."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.source, self.open, self.tags, self.texts, self.attributes = text, [], [], [], []
        self.ids = []
        self.feed(text)
        self.close()
        assert self.open == [], f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self):
        return re.sub(r"[ \n]+", " ", "".join(self.texts))

    def values(self, name):
        return [value for _, key, value in self.attributes if key == name]


def page(graded, *, manual=None, released=False, hints=HINTS, **kw):
    found = Page(
        feedback_page(graded, room.scored(graded, manual=manual, **kw), room.INFO, hints, released=released)
    )
    assert set(found.tags) <= ALLOWED
    return found


def test_the_way_one_took_is_shown_and_stays_text():
    entries = [
        Noted(at="2026-11-30T10:00:00+00:00", what="gain", predicted=2, observed=1.6),
        Noted(at="2026-11-30T10:05:00+00:00", what="check", done="lab.check()", observed="<b>9 of 12</b>"),
    ]
    found = page(msgspec.structs.replace(room.rich(), journal=entries))
    assert "gain: you said 2, measured 1.6 (you were 25 % above)" in found.text
    assert "2026-11-30 10:05 lab.check() → <b>9 of 12</b>" in found.text
    assert "The way you took" not in page(room.rich()).text


def test_it_stands_alone_and_runs_nothing():
    found = page(room.rich(), manual=HAND, released=True)
    assert found.source.startswith('<!doctype html>\n<html lang="en">')
    assert f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">' in found.source
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'"
    names = {name for _, name, _ in found.attributes}
    assert names <= {"lang", "charset", "http-equiv", "content", "name", "class", "id", "href"}
    assert all(target.startswith("#check-") for target in found.values("href"))
    assert set(value.removeprefix("#") for value in found.values("href")) <= set(found.values("id"))
    assert "http" not in re.sub(r"127\.0\.0\.1", "", "".join(re.findall(r"url\(|@import|src=", found.source)))


def test_headings_go_down_one_by_one_and_there_is_one_title():
    found = page(room.rich(), manual=HAND)
    levels = [int(tag[1]) for tag in found.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert re.search(r"<title>Zoë Müller: lab 01, 6.74 of 12 points</title>", found.source)


def test_it_says_things_in_their_order():
    text = page(room.rich(), manual=HAND).text
    order = [
        "Zoë Müller, you have 6.74 of 12 points.",
        "1 point of this lab could not be judged, which costs you nothing: 6 of the other 11 count as 6.55 of 12.",
        "Your instructor added 1.5 points.",
        "Lateness costs 1.31 points.",
        "What to do next",
        "Start with 4 users at once",
        "The checks",
        "✔ passed",
        "✘ failed",
        "Expected", "4 of 4 prompts of about 3,000 tokens",
        "Observed", "0 answered; each slot has 1,024 tokens",
        "See it yourself", "lab.serve",
        "A first hint", "Who shares ctx-size?",
        "? inconclusive", "too noisy to say", "costs you nothing",
        "– skipped", "It waits for context-per-slot",
        "Your instructor judged it: 2 of 2 points",
        "Right for a wrong reason.",
        "Your answers, as they were read", "knee", "3",
        "How your notebook ran", "it took more than 120 s",
        "What was not used", "photo.jpg",
        "When you handed in", "2026-11-22 00:00:00 UTC", "2 days late, which costs 20 % of what the checks gave: 1.31 points",
        "From your instructor", "Nice.",
        "How this was graded", "the thing itself ran", "bubblewrap", "llama-server b5000", "2026-11-21 09:00:07 UTC",
    ]  # fmt: skip
    at = 0
    for words in order:
        found = text.find(words, at)
        assert found >= 0, f"{words!r} is not after {text[max(0, at - 60) : at]!r}"
        at = found


def test_a_row_with_much_undecided_has_no_score_and_says_why():
    text = page(room.undecided()).text
    order = [
        "Zoë Müller, your work could not be graded yet.",
        "3 of 12 points could not be judged yet, so there is no score: your instructor has a note of it.",
        "What the checks gave so far is 7 points.",
        "! grader error", "not counted",
        "? inconclusive", "not counted",
    ]  # fmt: skip
    at = 0
    for words in order:
        at = text.find(words, at)
        assert at >= 0, f"{words!r} is not there, or not in its place: {text}"
    assert "/root" not in text


def test_only_the_first_hint_and_only_for_what_failed():
    found = page(room.rich())
    assert "16384" not in found.text
    assert found.tags.count("details") == 1
    assert "hint" not in page(room.rich(), hints={}).text


def test_passed_checks_are_short():
    found = page(room.graded())
    assert "what knee expects" not in found.text
    assert "what knee saw" in found.text
    assert "Everything this lab asks for holds. Next in the course: lab 02-budgets." in found.text


def test_a_command_can_be_selected_whole():
    source = page(room.rich()).source
    command = room.rich().result["context-per-slot"].evidence.look
    assert f"<pre>{html.escape(command)}</pre>" in source
    assert "user-select: all" in source


@pytest.mark.parametrize("status", ["passed", "failed", "inconclusive"])
def test_hidden_inputs_wait_for_the_deadline(status):
    one = room.graded(
        knee=room.outcome("knee", status, hidden=room.SECRET, data={"streams": 987}),
        seeds={"prompt": room.SEED},
    )
    before, after = page(one), page(one, released=True)
    for secret in (room.SECRET, str(room.SEED), "987", "streams"):
        assert secret not in before.source, secret
        assert secret in after.source, secret
    assert "shown here after the deadline" in before.text
    assert "shown here after the deadline" not in after.text


@pytest.mark.parametrize("released", [False, True])
def test_the_graders_own_traceback_stays_with_the_instructor(released):
    for graded in (room.rich(), room.broken()):
        assert "/root/" not in page(graded, released=released).source


def everywhere(text):
    """A submission with a text in every place that a learner, or a tool on their files, can reach."""
    outcomes = {
        name.replace("-", "_"): room.outcome(
            name, status, expected=text, observed=text, look=text, hidden=text, reason=text
        )
        for name, status in zip(
            room.POINTS, ["passed", "failed", "inconclusive", "skipped", "error"], strict=False
        )
    }
    return room.graded(
        "k",
        learner=text,
        **outcomes,
        answers={text: text, "more": [text, None]},
        remarks=[text],
        seeds={text: 1},
        isolation=text,
        notebook=room.NotebookRun(
            status="stopped", reason=text, cells=[room.CellRun(id=text, status=text, message=text)]
        ),
        handed=room.Handed(path=text, kind="zip", sha256="", artifacts=[text], answer_cells=[text]),
    )


@pytest.mark.parametrize("name", room.HOSTILE)
@pytest.mark.parametrize("released", [False, True])
def test_nothing_of_a_learners_is_markup(name, released):
    manual = Manual(comment=name, checks={"knee": ManualCheck(0, 2, name)})
    found = page(everywhere(name), manual=manual, released=released, hints={"slots": [f"{name} `{name}`"]})
    plain = page(everywhere("plain"), manual=manual, released=released, hints={"slots": ["plain `plain`"]})
    assert found.tags == plain.tags
    assert {(tag, key) for tag, key, _ in found.attributes} == {
        (tag, key) for tag, key, _ in plain.attributes
    }
    assert not re.search(r"<script|<img|onerror=\w+\(1\)>", found.source)
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", found.source)
    assert len(found.source) < 200_000
    found.source.encode()


def test_refused_says_why_and_what_to_hand_in():
    text = page(room.refused("Bob")).text
    assert "Bob, you have 0 of 12 points." in text
    assert "Nothing in what you handed in could be graded: the zip unpacks to 40 GB." in text
    assert "with server.toml and 01-one-server.ipynb." in text


def test_a_grader_error_is_nobodys_zero():
    text = page(room.broken("Ann")).text
    assert "Ann, your work could not be graded yet." in text
    assert "0 of 12" not in text


@pytest.mark.parametrize(
    ("late", "rule", "manual", "says"),
    [
        (timedelta(0), room.RULE, None, "That is in time."),
        (timedelta(minutes=10), room.RULE, None, "That still counts as in time."),
        (
            timedelta(minutes=16),
            room.RULE,
            None,
            "1 day late, which costs 10 % of what the checks gave: 1.2 points.",
        ),
        (
            timedelta(days=9),
            room.RULE,
            None,
            "9 days late, which costs 50 % of what the checks gave: 6 points.",
        ),
        (timedelta(days=1), None, None, "1 day late, which costs nothing in this lab."),
        (
            timedelta(days=1),
            room.RULE,
            Manual(excused=True),
            "your instructor excused it, so it costs nothing.",
        ),
    ],
)
def test_lateness_is_a_sentence(late, rule, manual, says):
    assert says in page(room.graded(late=late), rule=rule, manual=manual).text


def test_without_a_deadline_nothing_is_said_of_it():
    assert "When you handed in" not in page(room.graded(), due=None).text


def test_what_was_not_real_is_named():
    one = room.graded(
        knee=room.outcome("knee", realism="emulated", stands_in="moto for AWS"),
        slots=room.outcome("slots", realism="schema"),
    )
    text = page(one).text
    assert "Emulateda real tool against a stand-in: knee (moto for AWS)" in text
    assert "only its form was checked: slots" in text


def test_the_same_submission_gives_the_same_page():
    again = msgspec.json.decode(msgspec.json.encode(room.rich()), type=room.Graded)
    assert page(room.rich(), manual=HAND).source == page(again, manual=HAND).source


def _luminance(colour):
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_every_colour_can_be_read_in_light_and_dark():
    style = re.search(r"<style>(.*?)</style>", page(room.graded()).source, re.S)[1]
    schemes = [
        dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})\b", block))
        for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    assert len([scheme for scheme in schemes if scheme]) == 2
    for colours in filter(None, schemes):
        for name in set(colours) - {"paper", "card", "rule"}:
            for ground in ("paper", "card"):
                light, dark = sorted((_luminance(colours[name]), _luminance(colours[ground])), reverse=True)
                assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, ground)


@pytest.mark.needs("browser")
def test_it_fits_a_phone_and_a_browser_has_nothing_to_say(tmp_path):
    from playwright.sync_api import sync_playwright

    path = tmp_path / "feedback.html"
    path.write_text(page(room.rich(), manual=HAND, released=True).source, encoding="utf-8")
    hostile = tmp_path / "hostile.html"
    hostile.write_text(
        page(everywhere("</style><script>document.title='pwned'</script>")).source, encoding="utf-8"
    )
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=doctor.browser_path(), args=["--no-sandbox", "--disable-gpu"]
        )
        view = browser.new_page(viewport={"width": 400, "height": 800})
        said = []
        view.on("console", lambda message: said.append(message.text))
        view.on(
            "request",
            lambda request: said.append(request.url) if not request.url.startswith("file:") else None,
        )
        for file in (path, hostile):
            view.goto(file.as_uri())
            assert view.evaluate("document.documentElement.scrollWidth") <= 400
            assert "pwned" not in view.title() or "<script>" in view.title()
        browser.close()
    assert said == []


def test_a_name_in_an_attribute_stays_inside_it():
    odd = msgspec.structs.replace(room.outcome('x" onclick="y', "failed"), max_points=2)
    whole = room.graded().result
    result = msgspec.structs.replace(whole, outcomes=[*whole.outcomes[:-1], odd])
    found = page(room.graded(result=result))
    assert "onclick" not in {name for _, name, _ in found.attributes}
    assert 'check-x" onclick="y' in found.values("id")
    assert '#check-x" onclick="y' in found.values("href")
