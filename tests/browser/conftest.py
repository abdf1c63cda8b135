"""JupyterLab as `llmlab` opens it, in a learner's clone, and a real browser that looks at it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llmlab import doctor
from llmlab.system.paths import cache_dir

COURSE = Path(__file__).resolve().parents[2]
AXE = "4.14.1"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


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


@pytest.fixture
def picture(request, page):
    """A picture of the page after the test, where LLMLAB_SCREENSHOTS names a folder."""
    yield
    folder = os.environ.get("LLMLAB_SCREENSHOTS")
    if folder:
        page.screenshot(path=f"{folder}/{request.node.name}.png")


@pytest.fixture(scope="module")
def axe():
    """axe-core (https://github.com/dequelabs/axe-core), fetched once into the cache."""
    folder = cache_dir() / "tests" / f"axe-core-{AXE}"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        line = [
            "npm",
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--prefix",
            folder,
            f"axe-core@{AXE}",
        ]
        subprocess.run(line, check=True, timeout=120)
    return script.read_text("utf-8")
