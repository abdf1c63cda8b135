"""The ledger of what was proved: another content is another line."""

from __future__ import annotations

from types import SimpleNamespace

import ledger


def test_what_a_check_reaches_is_found_wherever_it_is_imported():
    labs = ledger.COURSE / "labs"
    found = {str(path.relative_to(ledger.COURSE)) for path in ledger.reached([labs / "13-regions/checks.py"])}
    assert "llmlab/tiers/regions/globe.py" in found
    assert "llmlab/tiers/regions/regional.cfg" in found, "data beside the modules counts"
    assert "llmlab/errors.py" in found, "and what they import in turn"
    assert not [name for name in found if name.startswith("llmlab/tiers/kubernetes/")], (
        "another tier does not"
    )


class Item:
    """A slow test of lab 00, as pytest holds it."""

    def __init__(self, fault: dict) -> None:
        self.nodeid = "tests/labs/test_labs.py::test_each_fault"
        self.name = f"test_each_fault[{fault['id']}]"
        self.callspec = SimpleNamespace(params={"fault": fault})

    def get_closest_marker(self, name):
        return name == "full" or None


def test_what_passed_is_not_proved_again_until_something_changes(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    item = Item({"id": "x", "lab": "00", "replace": ["a", "b"]})
    assert ledger.proved(item) is None
    ledger.note(item)
    assert ledger.proved(item).endswith("UTC")
    assert ledger.proved(Item({"id": "x", "lab": "00", "replace": ["a", "c"]})) is None, "another fault"
    monkeypatch.setattr(ledger, "reached", lambda start: {ledger.COURSE / "README.md"})
    assert ledger.proved(item) is None, "other modules"


def test_quick_tests_and_those_of_no_lab_keep_no_ledger(request):
    assert ledger.key(request.node) is None
