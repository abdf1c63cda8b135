"""The ledger of what was proved: another content is another line."""

from __future__ import annotations

from types import SimpleNamespace

import ledger

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
