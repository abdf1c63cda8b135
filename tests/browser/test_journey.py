"""From `llmlab` to the first figure, and lab 12 from red to green, by what the pages themselves lead to."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
from browser.steps import SHOWN, findings, idle, open_notebook, run_all, run_cell, tab

from llmlab.system.waiting import wait

COURSE = Path(__file__).resolve().parents[2]

pytestmark = [
    pytest.mark.needs("browser", "process", "edge", "node"),
    pytest.mark.timeout(900),
    pytest.mark.usefixtures("picture"),
]


def test_from_the_index_to_the_first_figure(page, address, axe):
    began = time.monotonic()
    page.goto(address, wait_until="domcontentloaded")
    preview = page.locator(".jp-MarkdownViewer")
    start = preview.get_by_role("link", name=re.compile("Start lab 00"))
    start.wait_for()
    assert findings(page, axe, ".jp-MarkdownViewer") == []
    start.click()
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    idle(page)
    run_all(page)
    picture = page.locator(".jp-OutputArea-output img").first
    picture.wait_for(timeout=300_000)
    assert picture.get_attribute("alt")
    print(f"from the index to the first figure: {time.monotonic() - began:.0f} s")
    idle(page)


def test_the_index_follows_without_being_opened_again(page, course):
    checked = page.locator(".jp-OutputArea-output", has_text="Next lab:")
    checked.first.wait_for(timeout=300_000)
    tab(page, "index.md")
    page.locator(".jp-MarkdownViewer").get_by_text("Go on with lab 01").wait_for(timeout=30_000)


def test_the_files_and_a_terminal_are_at_hand(page):
    tab(page, "00-start-here.ipynb")
    cell = page.locator(f"{SHOWN} .jp-CodeCell", has_text="Lab.here(").first
    cell.get_by_role("button", name="server.toml beside").click()
    page.locator(".jp-FileEditor .cm-content", has_text="ctx-size").wait_for()
    assert cell.is_visible(), "the notebook is still in sight"
    cell.get_by_role("button", name="terminal here").click()
    page.locator(".jp-Terminal .xterm-screen").wait_for()
    page.wait_for_function("document.querySelector('.jp-Terminal')?.contains(document.activeElement)")
    page.keyboard.type("llmlab --version > said.txt; pwd >> said.txt\n")


def test_the_terminal_knows_llmlab(course):
    said = course / "labs" / "00-start-here" / "said.txt"
    wait("two lines of the terminal", lambda: said.exists() and said.read_text().count("\n") == 2, 60)
    assert re.match(r"llmlab \d", said.read_text())
    assert said.read_text().strip().endswith("00-start-here")


def test_lab_12_from_red_to_green_by_following_next(page, address, course, axe):
    began = time.monotonic()
    open_notebook(page, address, "labs/12-edge/12-edge.ipynb")
    page.locator(f"{SHOWN} .jp-Cell").first.click()
    for _ in range(3):  # the words, the folded cell, the lab
        page.keyboard.press("Shift+Enter")
    page.locator(f"{SHOWN}").get_by_role("button", name="worker.js beside").wait_for()
    cell = run_cell(page, re.compile(r"lab\.check\(\)"))
    red = cell.locator(".jp-OutputArea-output", has_text="Next:")
    red.wait_for(timeout=300_000)
    assert "0 of 37 points" in red.inner_text()
    assert red.inner_text().count("emulated:") == 1
    first = red.locator("code").first.inner_text()
    assert first == "starts"
    assert findings(page, axe, f"{SHOWN} .jp-CodeCell .jp-OutputArea") == []
    link = red.get_by_role("link", name=re.compile(r"worker\.js")).first
    link.click()
    page.locator(".jp-FileEditor .cm-content", has_text="addEventListener").wait_for()
    for name in ("worker.js", "worker.capnp"):
        shutil.copy(COURSE / "solutions" / "12-edge" / name, course / "labs" / "12-edge" / name)
    tab(page, "12-edge.ipynb")
    run_cell(page, re.compile(r"lab\.check\(\)"))
    following = cell.get_by_role("link", name=re.compile("13 · Three regions"))
    following.wait_for(timeout=400_000)
    assert "37 of 37 points" in cell.inner_text()
    print(f"lab 12 from red to green: {time.monotonic() - began:.0f} s")
    following.click()
    page.locator(".lm-TabBar-tab", has_text="13-regions.ipynb").wait_for()


def test_the_console_has_no_errors(page):
    assert page.errors == []
