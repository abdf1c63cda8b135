"""`llmlab fetch`: the one way to bring things, whatever tier they belong to."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from imports import PACKAGE

from llmlab import doctor, tier
from llmlab.cli import fetch, main
from llmlab.errors import LabError
from llmlab.tier import Need


@pytest.fixture
def brings(monkeypatch):
    """Puts functions in the place of what the tiers fetch."""

    def install(**functions):
        real = tier.load
        monkeypatch.setattr(tier, "load", lambda what: functions.get(what) or real(what))
        monkeypatch.setattr(
            tier, "all_of", lambda part: {name: name for name in functions if part == "fetches"}
        )

    return install


@pytest.mark.parametrize(
    ("word", "names"),
    [
        ("images", ["images"]),
        ("root", ["root"]),
        ("regions", ["regions"]),  # the need, not the lab of that name
        ("04", ["models", "docker", "images"]),
        ("06", ["models", "binary", "kubernetes"]),  # an engine first: it goes into the images
        ("13-regions", ["models", "regions", "process"]),
    ],
)
def test_a_need_is_itself_and_a_lab_is_all_that_it_needs(word, names):
    named = fetch._named(word)
    assert list(named) == names
    assert all(
        (lab.number if lab else None) == (word[:2] if word[0].isdigit() else None) for lab in named.values()
    )


def test_all_is_whatever_a_tier_can_bring():
    assert (
        set(fetch._named("all")) == set(tier.all_of("fetches")) >= {"models", "binary", "kubernetes", "edge"}
    )


def test_a_name_that_nobody_knows_is_met_with_those_there_are():
    with pytest.raises(LabError, match="'imagse' is neither a lab nor one of models, binary, docker, images"):
        fetch._named("imagse")


def test_progress_is_shown_and_what_is_there_already_says_so(brings, capsys):
    def new(say, lab):
        say("halfway")
        return Need("new", True, "all of it")

    brings(new=new, old=lambda say, lab: Need("old", True, "as ever"))
    assert main.main(["fetch", "new", "old"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +0\.0 s  halfway$", said, re.MULTILINE)
    assert "✔ new: all of it (0.0 s)" in said
    assert "✔ old: as ever (here already)" in said


def test_what_cannot_be_had_keeps_nothing_else_from_being_brought(brings, capsys):
    def broken(say, lab):
        raise LabError("There is no registry.", fix="connect")

    brings(
        broken=broken,
        lacking=lambda say, lab: Need("lacking", False, "no daemon", "start it"),
        fine=lambda say, lab: None,
    )
    assert main.main(["fetch", "all"]) == 1
    out, err = capsys.readouterr()
    assert "✔ fine" in out
    assert "There is no registry." in err
    assert "connect" in err
    assert "lacking: no daemon" in err
    assert "start it" in err
    assert main.main(["fetch", "all", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["met"], row["mend"]) for row in rows] == [
        ("broken", False, "connect"), ("lacking", False, "start it"), ("fine", True, ""),
    ]  # fmt: skip


def test_a_need_that_nothing_brings_says_what_the_doctor_says(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "need", lambda name: Need(name, False, "uid 7", "sudo -E uv run llmlab"))
    assert main.main(["fetch", "root"]) == 1
    err = capsys.readouterr().err
    assert "root: uid 7" in err
    assert "sudo -E uv run llmlab" in err


def test_what_was_taken_away_is_not_brought(monkeypatch, capsys):
    monkeypatch.setenv("LLMLAB_WITHOUT", "edge")
    assert main.main(["fetch", "edge"]) == 1
    assert "unset LLMLAB_WITHOUT" in capsys.readouterr().err


def test_without_a_name_it_lists_and_brings_nothing(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "need", lambda name: Need(name, name == "edge", "seen", "mend"))
    assert main.main(["fetch", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == list(tier.all_of("fetches"))
    assert rows["edge"]["met"]
    assert not rows["terraform"]["met"]
    assert rows["terraform"]["what"].startswith("Bring the AWS provider")


GONE = re.compile(r"llmlab[\"', ]+(?:images|terraform|regions|cluster[\"', ]+build)\b")


@pytest.mark.parametrize("words", [["images"], ["terraform"], ["regions"], ["cluster", "build"]])
def test_the_old_verbs_are_gone(words, capsys):
    with pytest.raises(SystemExit):
        main.main(words)


def test_no_text_names_a_verb_that_is_gone():
    """All that git tracks but the history of what users saw."""
    top = PACKAGE.parent
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=top, capture_output=True, text=True, check=True)
    found = []
    for name in set(listed.stdout.split("\0")) - {"", "CHANGELOG.md", "tests/test_fetch.py"}:
        if (top / name).is_file():
            found += [f"{name}: {hit[0]}" for hit in GONE.finditer((top / name).read_text(errors="replace"))]
    assert found == []
