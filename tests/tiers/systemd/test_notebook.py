"""A machine as a notebook handles it, where the machine is a stand-in."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmlab.tiers.systemd import notebook
from llmlab.tiers.systemd.notebook import LiveMachine


class StandInMachine:
    address, closed, boots = "http://10.0.0.2:8080", False, 0

    def reboot(self) -> float:
        self.boots += 1
        return 3.25

    def run(self, line: str, *, timeout: float):
        return 2, f"{line} within {timeout:g} s\n"

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def machine(monkeypatch):
    monkeypatch.setattr(notebook.systemd, "furnished", lambda *_, **__: StandInMachine())
    return LiveMachine(SimpleNamespace(files=None))


def test_a_reboot_says_how_long_it_took(machine):
    assert repr(machine.reboot()) == "up again after 3.2 s"
    assert machine.machine.boots == 1


def test_a_command_runs_in_the_folder_of_the_files_and_its_code_is_shown(machine):
    assert repr(machine.run("false", timeout=5)) == "cd /root/lab && false within 5 s\n(exit code 2)"


def test_what_an_answer_and_a_second_run_say_as_numbers(machine, monkeypatch):
    snapshots = iter([["a", "b"], []])
    before = SimpleNamespace(files={}, changes=lambda _: next(snapshots))
    monkeypatch.setattr(notebook.units, "status", lambda *_: 401)
    monkeypatch.setattr(notebook.units, "snapshot", lambda _: before)
    monkeypatch.setattr(LiveMachine, "_fresh", lambda _: None)
    machine.machine.install = lambda: SimpleNamespace(problem=None)
    assert (machine.ask("wrong").value, repr(machine.ask("wrong"))) == (401, "port 8080 answers 401")
    assert machine.changes().value == 2
    assert machine.changes().value == 0


def test_it_ends_with_its_block(machine):
    with machine as inside:
        assert "10.0.0.2:8080" in repr(inside)
    assert machine.machine.closed
