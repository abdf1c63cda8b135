"""A newcomer's first lab in a real browser: run all, see the figure, mend the file, press the button, see green."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab import doctor

COURSE = Path(__file__).resolve().parents[2]
NOTEBOOK = "labs/01-one-server/lab.ipynb"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip

pytestmark = [pytest.mark.needs("browser", "process"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A learner's clone: what the test edits is not the repository."""
    folder = tmp_path_factory.mktemp("clone")
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs", "solutions", "data"):
        shutil.copytree(COURSE / name, folder / name, ignore=skip)
    return folder


@pytest.fixture(scope="module")
def address(course, tmp_path_factory):
    """`llmlab --no-browser`, as the README has it; yields the address it prints."""
    home = tmp_path_factory.mktemp("jupyter")
    env = os.environ | {
        "LLMLAB_COURSE": str(course),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
    }
    line = [sys.executable, "-m", "llmlab", "--no-browser"]
    process = subprocess.Popen(
        line, env=env, cwd=course, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    said = []
    for text in process.stdout:
        said.append(text)
        found = re.search(r"http://127\.0\.0\.1:\d+/\S+token=\S+", text)
        if found:
            break
    else:
        pytest.fail("no address:\n" + "".join(said))
    assert re.search(r"tokens/s for one user", "".join(said)), "first light says what was measured"
    yield found[0]
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def page(address):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=doctor.browser_path(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.errors = []
        page.on(
            "console", lambda message: page.errors.append(message.text) if message.type == "error" else None
        )
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.fixture(autouse=True)
def _picture_of_a_failure(request, page):
    yield
    folder = os.environ.get("LLMLAB_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{request.node.name}.png")


def idle(page) -> None:
    """The kernel is attached and has nothing to do (the status bar is right where the toolbar is early)."""
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for(timeout=300_000)


def run_all(page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_the_index_page_lists_the_labs(page, address):
    page.goto(address, wait_until="domcontentloaded")
    preview = page.locator(".jp-MarkdownViewer")
    preview.get_by_text("One honest server").wait_for()
    assert preview.get_by_role("row").count() >= 4
    assert page.get_by_text("Would you like to get notified about official Jupyter news").count() == 0


def test_lab_01_runs_and_its_figures_can_be_read_aloud(page, address):
    base, token = address.split("/lab/")[0], address.split("token=")[1]
    page.goto(f"{base}/lab/tree/{NOTEBOOK}?token={token}", wait_until="domcontentloaded")
    page.locator(".jp-Notebook .jp-Cell").first.wait_for()
    idle(page)
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
    page.locator(".lm-TabBar-tab", has_text="lab.ipynb").first.click()
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


def test_the_console_has_no_errors(page):
    assert page.errors == []
