"""The ledger of what was proved: another content is another line."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import ledger
import pytest

from llmlab.course.info import find_lab


def test_what_a_check_reaches_is_found_wherever_it_is_imported():
    labs = ledger.COURSE / "labs"
    found = {str(path.relative_to(ledger.COURSE)) for path in ledger.reached([labs / "13-regions/checks.py"])}
    assert "llmlab/tiers/regions/globe.py" in found
    assert "llmlab/tiers/regions/regional.cfg" in found, "data beside the modules counts"
    assert "llmlab/errors.py" in found, "and what they import in turn"
    assert {"labs/13-regions/globe.py", "labs/13-regions/limits.py"} <= found, "also from part to part"
    of_loads = {
        str(path.relative_to(ledger.COURSE))
        for path in ledger.reached([ledger.COURSE / "llmlab/load/process.py"])
    }
    assert "llmlab/load/worker.py" in of_loads, "and what is run by its name"
    assert not [name for name in found if name.startswith("llmlab/tiers/kubernetes/")], (
        "another tier does not"
    )


class Item:
    """A slow test of lab 00, as pytest holds it."""

    def __init__(self, fault: dict, mark: str = "full") -> None:
        self.mark = mark
        self.nodeid = "tests/labs/test_labs.py::test_each_fault"
        self.name = f"test_each_fault[{fault['id']}]"
        self.callspec = SimpleNamespace(params={"fault": fault})

    def get_closest_marker(self, name):
        return name == self.mark or None


def test_what_passed_is_not_proved_again_until_something_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    item = Item({"id": "x", "lab": "00", "replace": ["a", "b"]})
    assert ledger.proved(item) is None
    ledger.note(item)
    assert ledger.proved(item).endswith("UTC")
    assert ledger.proved(Item({"id": "x", "lab": "00", "replace": ["a", "c"]})) is None, "another fault"
    monkeypatch.setattr(ledger, "reached", lambda start: {ledger.COURSE / "README.md"})
    assert ledger.proved(item) is None, "other modules"


def test_a_long_notebook_is_in_the_ledger_and_another_solution_is_another_line(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    info = find_lab("00", ledger.COURSE)
    item = Item({"id": "x", "lab": "00"}, mark="ledger")
    item.callspec = SimpleNamespace(params={"info": info})
    ledger.note(item)
    assert ledger.proved(item)
    folder = ledger._below
    other = [ledger.COURSE / "README.md"]
    monkeypatch.setattr(ledger, "_below", lambda path: other if path == info.solution else folder(path))
    assert ledger.proved(item) is None


def test_quick_tests_and_those_of_no_lab_keep_no_ledger(request):
    assert ledger.key(request.node) is None


def test_what_passed_with_its_notebook_passed_without_and_not_the_other_way_round(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    item = Item({"id": "x", "lab": "00"}, mark="ledger")
    ledger.note(item, full=False)
    assert ledger.proved(item, full=False) == ledger.last()[item.name]
    assert ledger.proved(item) is None
    ledger.note(item)
    assert ledger.proved(item)
    assert ledger.proved(item, full=False)


TWO = """
import pytest
@pytest.mark.ledger
@pytest.mark.parametrize("info", [None], ids=["00-start-here"])
def test_long(info): assert {passes}
def test_short(): pass
"""


@pytest.mark.parametrize(("until", "words"), [(0, "1 passed, 1 skipped"), (1 << 40, "2 passed")])
def test_no_long_test_begins_when_its_time_is_over_and_it_is_listed(until, words, tmp_path):
    (tmp_path / "test_two.py").write_text(TWO.format(passes=True))
    done = run(tmp_path, f"--until={until}")
    assert words in done
    assert ("not proved: no time was left" in done) == ("skipped" in words)


def test_what_failed_is_tried_again_whatever_the_time(tmp_path):
    """`.ci/again` has the same arguments: skipped there, a failure would have been green."""
    (tmp_path / "test_two.py").write_text(TWO.format(passes=False))
    assert "1 failed" in run(tmp_path, f"--until={1 << 40}")
    assert "1 failed" in run(tmp_path, "--until=0", "--last-failed")


def run(folder, *words: str) -> str:
    (folder / "conftest.py").write_text("from tests.conftest import *\n")
    line = [sys.executable, "-m", "pytest", "-q", "-n", "0", *words, "--rootdir", str(folder), "test_two.py"]
    path = os.pathsep.join(map(str, (ledger.COURSE, ledger.COURSE / "tests")))
    env = os.environ | {"PYTHONPATH": path, "LLMLAB_CACHE": str(folder / "cache")}
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True).stdout
