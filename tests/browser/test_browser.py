"""A newcomer's first lab in a real browser: run all, see the figure, mend the file, press the button, see green."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.steps import SHOWN, findings, idle, open_notebook, run_all

COURSE = Path(__file__).resolve().parents[2]
NOTEBOOK = "labs/01-one-server/01-one-server.ipynb"

pytestmark = [
    pytest.mark.needs("browser", "process"),
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("picture"),
]


def test_the_index_page_lists_the_labs(page, address):
    page.goto(address, wait_until="domcontentloaded")
    preview = page.locator(".jp-MarkdownViewer")
    preview.get_by_text("One honest server").wait_for()
    assert preview.get_by_role("row").count() >= 4
    assert page.get_by_text("Would you like to get notified about official Jupyter news").count() == 0


def test_lab_01_runs_and_its_figures_can_be_read_aloud(page, address):
    open_notebook(page, address, NOTEBOOK)
    assert page.locator(".jp-Dialog").count() == 0
    run_all(page)
    outputs = page.locator(".jp-OutputArea-output")
    outputs.get_by_text("○ llama-server stopped").or_(
        outputs.get_by_text("ready", exact=True)
    ).first.wait_for(timeout=300_000)
    idle(page)
    images = page.locator(".jp-OutputArea-output img")
    images.first.wait_for()
    alts = [image.get_attribute("alt") for image in images.all()]
    assert len(alts) >= 3
    assert all(alts), alts
    outputs.get_by_text("context-per-slot").first.wait_for()
    assert outputs.get_by_text("✘ failed").count() >= 1


def test_mend_the_file_press_check_see_green(page, course):
    page.locator(".jp-DirListing-item", has_text="server.toml").dblclick()
    editor = page.locator(".jp-FileEditor .cm-content")
    editor.wait_for()
    editor.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text((COURSE / "solutions/01-one-server/server.toml").read_text())
    page.keyboard.press("Control+S")
    page.locator(".lm-TabBar-tab", has_text="01-one-server.ipynb").first.click()
    answer = page.locator(".jp-Cell", has_text="lab.answer(knee=None)").locator(".cm-content")
    answer.scroll_into_view_if_needed()
    answer.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text("lab.answer(knee=4)")
    page.keyboard.press("Shift+Enter")
    idle(page)
    button = page.locator(".jp-OutputArea-output button.jupyter-button", has_text="Check")
    button.scroll_into_view_if_needed()
    live = page.locator(".jp-OutputArea-output .widget-html[role=status]")
    live.wait_for()
    region = live.element_handle()
    button.focus()
    page.keyboard.press("Enter")
    page.locator(".jp-OutputArea-output progress").first.wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Check", (
        "the pressed button keeps the focus"
    )
    status = page.locator(".jp-OutputArea-output .widget-html", has_text="all checks passed")
    status.wait_for(timeout=300_000)
    assert "all checks passed" in region.text_content(), "the element that a screen reader watches stays"
    assert "ctx-size = 16384" in (course / "labs/01-one-server/server.toml").read_text()


@pytest.mark.needs("node")
def test_nothing_of_the_panel_keeps_a_reader_out(page, axe):
    assert findings(page, axe, f"{SHOWN} .jp-OutputArea-output .widget-vbox") == []


def test_the_console_has_no_errors(page):
    assert page.errors == []
