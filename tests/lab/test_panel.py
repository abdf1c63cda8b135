"""The panel: its bar, a Stop that stops, a Reset that asks, and the way back."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import psutil
import pytest

from llmlab import Lab, LabError

COURSE = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.needs("process")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs/01-one-server", "solutions/01-one-server"):
        shutil.copytree(COURSE / name, tmp_path / name, ignore=skip)
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
    monkeypatch.chdir(tmp_path / "labs/01-one-server")
    lab = Lab.here()
    yield lab
    lab.stop()


@pytest.fixture
def panel(lab):
    return lab.panel()


def pressed(panel, name: str) -> str:
    """Press a button and wait for its end: what the status says then."""
    panel.press(name)
    panel.wait()
    return panel.status.value


def bar_has(panel, text: str) -> threading.Event:
    """Set as soon as the bar says this."""
    seen = threading.Event()
    panel.bar.observe(lambda change: seen.set() if text in change["new"] else None, "value")
    return seen


def test_check_has_the_bar_of_the_cell_and_nothing_old_stands_below_it(panel):
    panel.output.value = panel.chart.value = "old"
    at_work = bar_has(panel, "of 7)")
    panel.press("Check")
    assert panel.output.value == panel.chart.value == ""
    assert at_work.wait(60)
    assert '<progress value="' in panel.bar.value
    panel.wait()
    assert "context-per-slot" in panel.output.value
    assert "7 checks in" in panel.bar.value


def test_stop_ends_a_check_and_all_that_it_has_started(panel, lab):
    before = set(psutil.Process().children(recursive=True))
    at_work = bar_has(panel, "context-per-slot")
    panel.press("Check")
    assert at_work.wait(60)
    grader = set(psutil.Process().children(recursive=True)) - before
    assert grader
    panel.press("Stop")
    panel.press("Stop")  # impatient
    panel.wait(30)
    assert panel.status.value == "Check: stopped by you; nothing of it runs any more"
    _, alive = psutil.wait_procs(grader, timeout=5)
    assert not alive
    assert lab.result is None
    assert not panel._buttons["Check"].disabled
    assert pressed(panel, "Stop") == "○ llama-server stopped"


def test_stop_ends_a_load_and_leaves_no_record_of_it(panel, lab):
    at_work = bar_has(panel, "tokens/s")
    panel.press("Load")
    assert at_work.wait(60)
    panel.press("Stop")
    panel.wait(30)
    assert panel.status.value == (
        "Load: stopped by you at run 1 of 4, no record is kept; nothing of it runs any more"
    )
    assert list((lab.files / "records").glob("*.json")) == []
    assert lab.last is None
    assert lab.running.running, "the server is another matter"
    assert pressed(panel, "Stop") == "○ llama-server stopped"
    assert lab.running is None


def test_the_pressed_button_keeps_the_focus_and_the_others_wait(panel):
    seen = {}
    panel.status.observe(
        lambda change: seen.update({name: button.disabled for name, button in panel._buttons.items()}),
        "value",
    )
    pressed(panel, "Start")
    assert seen["Start"] is False
    assert seen["Check"] is True
    assert [button.disabled for button in panel._buttons.values()] == [False] * 5


def test_reset_asks_says_where_the_old_files_are_and_can_be_undone(panel, lab):
    mine = lab.files / "server.toml"
    starter = mine.read_text()
    mine.write_text("# mine\n")
    lab.answer(knee=4)
    assert "Press Reset again" in pressed(panel, "Reset")
    assert mine.read_text() == "# mine\n"
    pressed(panel, "Hint")
    assert "Press Reset again" in pressed(panel, "Reset"), "another button takes the question back"
    said = pressed(panel, "Reset")
    assert mine.read_text() == starter
    [folder] = (lab.files / ".llmlab").glob("before-reset-*")
    assert str(folder) in said
    assert "Close or revert the open tab of server.toml" in panel.output.value
    mine.write_text("# later\n")
    assert lab.undo() == ["server.toml"]
    assert mine.read_text() == "# mine\n"
    assert lab.answers() == {"knee": 4}
    [later] = (lab.files / ".llmlab").glob("before-undo-*")
    assert (later / "server.toml").read_text() == "# later\n"
    with pytest.raises(LabError, match="no reset to undo"):
        lab.undo()


def test_a_reset_of_what_nobody_has_changed_says_so(panel, lab):
    pressed(panel, "Reset")
    assert "None of yours was different" in pressed(panel, "Reset")
    assert not list((lab.files / ".llmlab").glob("before-reset-*"))


def test_its_buttons_wrap_where_there_is_little_room(panel):
    row = panel.children[0]
    assert row.layout.flex_flow == "row wrap"
    assert {button.layout.width for button in row.children} == {"auto"}
