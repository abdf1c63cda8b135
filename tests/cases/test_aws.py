"""Stacks of strangers, named by symptom: each is laid over the worked solution of lab 10 and checked; none may end as an error."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from llmlab import doctor
from llmlab.course.info import find_lab
from llmlab.lab import Lab
from llmlab.system import owned

HERE = Path(__file__).parent
COURSE = HERE.parents[1]
NAMES = (
    "default-404-rule-forwards",
    "waits-for-healthy-targets",
    "some-paths-refused",
    "registry-module-without-network",
)
#: Checks of lab 10 that need Docker too: without it the others are judged all the same.
DOCKERS = ("user-data", "door")
SLOW = {
    "waits-for-healthy-targets",
    "some-paths-refused",
}  # an apply each, of which a minute is the provider's own waits


def marks(name: str) -> list[pytest.MarkDecorator]:
    """Which of them wait for --full, and which for somebody's hand."""
    found = [pytest.mark.full] if name in SLOW else []
    return [*found, pytest.mark.by_hand] if name == "some-paths-refused" else found


@pytest.mark.timeout(900)
@pytest.mark.needs("terraform")
@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in NAMES])
def test_a_case(name, tmp_path, monkeypatch):
    case = tomllib.loads((HERE / name / "case.toml").read_text())
    files = tmp_path / "work"
    ours = shutil.ignore_patterns("starter", "*.ipynb", "lab.py", ".llmlab")
    shutil.copytree(COURSE / case["base"], files, ignore=ours)
    shutil.copytree(HERE / name / "files", files, dirs_exist_ok=True)
    if case.get("offline"):  # where there is a network, the registry would answer
        for word in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(word, "http://127.0.0.1:9")
        monkeypatch.setenv("LLMLAB_VET", "1")
    result = Lab(find_lab(case["lab"], COURSE), files).check(*case.get("checks", ()), quiet=True)
    found = {outcome.check: outcome for outcome in result.outcomes}
    assert [outcome for outcome in result.outcomes if outcome.status == "error"] == [], str(result)
    lacking = [need for need in ("docker", "images") if not doctor.need(need).met]
    for status in ("passed", "failed", "skipped"):
        for check in case["expect"].get(status, ()):
            if not (lacking and check in DOCKERS):
                assert found[check].status == status, str(result)
    said = "\n".join(str(outcome.evidence) for outcome in result.outcomes)
    assert [phrase for phrase in case["expect"]["words"] if phrase not in said] == [], said
    assert [phrase for phrase in case["expect"].get("not_words", ()) if phrase in said] == [], said
    assert owned.entries() == []
