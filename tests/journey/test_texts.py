"""What every notebook keeps: its links lead somewhere, its guesses are answered, its figures are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from llmlab.checks import load_checks
from llmlab.course.info import all_labs

COURSE = Path(__file__).resolve().parents[2]
LABS = all_labs(COURSE)
each_lab = pytest.mark.parametrize("info", LABS, ids=[info.name for info in LABS])


def cells(info):
    return [
        (cell["cell_type"], "".join(cell["source"]), cell)
        for cell in json.loads(info.notebook.read_text("utf-8"))["cells"]
    ]


@each_lab
def test_links_lead_somewhere(info):
    text = "\n".join(source for kind, source, _ in cells(info) if kind == "markdown")
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if not link.startswith("https://"):
            assert (info.folder / link.partition("#")[0]).exists(), link
    assert len({link for link in links if link.startswith("https://")}) >= 3 or info.number == "00", links


@each_lab
def test_every_prediction_has_a_cell_and_an_answer(info):
    code = "\n".join(source for kind, source, _ in cells(info) if kind == "code")
    guesses = set(re.findall(r"(\w+)=", " ".join(re.findall(r"lab\.predict\(([^)]*)\)", code))))
    answers = set(
        re.findall(
            r"(?<![\w.])(\w+)=", " ".join(re.findall(r"lab\.compare\((.*)\)", code.replace("\n", " ")))
        )
    )
    assert guesses - answers == set(), "guessed, and no measurement answers"
    asked = sum(
        len(re.findall(r"\*\*Predict\*\*", source)) for kind, source, _ in cells(info) if kind == "markdown"
    )
    assert code.count("lab.predict(") >= asked, "a prediction without a cell to write it down"


@each_lab
def test_every_figure_is_followed_by_a_sentence(info):
    found = cells(info)
    for place, (kind, source, cell) in enumerate(found):
        if kind == "code" and "figure" in cell["metadata"].get("tags", []):
            after = next(kind for kind, source, _ in found[place + 1 :] if "lab.compare" not in source)
            assert after == "markdown", source


@each_lab
def test_steps_have_a_check_of_their_own(info):
    """A lab with work to do is a chain of small greens."""
    text = "\n".join(source for kind, source, _ in cells(info))
    if "**Your turn" in text:
        assert re.search(r"lab\.check\(\"", text), "no check but the last one"


@each_lab
def test_a_step_names_checks_that_there_are(info):
    checks = {check.name: check for check in load_checks(info.folder)}
    code = "\n".join(source for kind, source, _ in cells(info) if kind == "code")
    for words in re.findall(r"lab\.check\(([^)]+)\)", code):
        names = re.findall(r'"([^"]+)"', words)
        assert set(names) <= checks.keys(), names


@each_lab
def test_idioms_that_stop_a_reader_are_not_there(info):
    text = "\n".join(source for kind, source, _ in cells(info) if kind == "markdown").lower()
    for idiom in (
        "on a tuesday",
        "throws dice",
        "ditch",
        "two roads",
        "not decoration",
        "this machine's mood",
        "kind case",
    ):
        assert idiom not in text, idiom
