"""Cases of other people's, named by their symptom, on labs 06 to 08: what works passes, what does not is refused in words, nothing breaks."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import nbformat
import pytest

from llmlab.checks import load_checks
from llmlab.course.info import find_lab
from llmlab.lab import Lab
from llmlab.system import owned

HERE = Path(__file__).parent
COURSE = HERE.parents[1]
LABS = ("06", "07", "08")
CASES = {
    path.parent.name: case
    for path in sorted(HERE.glob("*/case.toml"))
    if (case := tomllib.loads(path.read_text()))["lab"] in LABS and case["kind"] == "check"
}
pytestmark = pytest.mark.timeout(900)


def expected(case):
    """Check → the status that it should have."""
    return {
        name: status for status in ("passed", "failed", "skipped") for name in case["expect"].get(status, ())
    }


def needs(case):
    """The lab's, and those of the checks that are to be judged."""
    info = find_lab(case["lab"], COURSE)
    found = {check.name: check.machine for check in load_checks(info.folder)}
    more = {need for name, status in expected(case).items() if status != "skipped" for need in found[name]}
    return sorted({*info.needs, *more})


def answers(info):
    """Those of the solution notebook."""
    given: dict = {}

    class Answers:
        def answer(self, **kw):
            given.update(kw)

    for cell in nbformat.read(info.solution / "lab.ipynb", 4).cells:
        if "answer" in cell.metadata.get("tags", []):
            exec(cell.source, {"lab": Answers()})
    return given


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, id=name, marks=pytest.mark.needs(*needs(case))) for name, case in CASES.items()],
)
def test_a_case(name, tmp_path):
    case = CASES[name]
    info = find_lab(case["lab"], COURSE)
    files = tmp_path / "work"
    shutil.copytree(
        COURSE / case["base"], files, ignore=shutil.ignore_patterns("starter", "lab.py", "*.ipynb", ".llmlab")
    )
    shutil.copytree(HERE / name / "files", files, dirs_exist_ok=True)
    lab = Lab(info, files)
    lab.answer(**answers(info))
    wanted = expected(case)
    every = {check.name for check in load_checks(info.folder)}
    result = lab.check(*(() if every == set(wanted) else wanted), quiet=True)
    assert {outcome.check: outcome.status for outcome in result.outcomes} == wanted, str(result)
    said = [
        f"{outcome.evidence.expected}\n{outcome.evidence.observed}\n{outcome.evidence.look}"
        if outcome.evidence
        else str(outcome.reason)
        for outcome in result.outcomes
        if outcome.status != "passed"
    ]
    for words in case["expect"]["words"]:
        assert any(words in text for text in said), f"nobody says {words!r}:\n{result}"
    assert owned.entries() == []
