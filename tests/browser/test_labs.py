"""Each lab by hand in a real browser: the untouched files, then the worked ones, all cells one after the other.

    uv run pytest -n 0 --full -m by_hand tests/browser/test_labs.py -k 11-

With LLMLAB_SCREENSHOTS=FOLDER every figure and every page of a check is kept there as a picture, to be looked at.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from browser.steps import SHOWN, findings, open_notebook, run_all

from llmlab.course.info import all_labs

COURSE = Path(__file__).resolve().parents[2]
LABS = all_labs(COURSE)

pytestmark = [
    pytest.mark.full,
    pytest.mark.by_hand,
    pytest.mark.needs("browser"),
    pytest.mark.timeout(3000),
]
each_lab = pytest.mark.parametrize(
    "info",
    [
        pytest.param(info, id=info.name, marks=pytest.mark.needs(*info.needs))
        for info in LABS
        if info.number != "00"
    ],
)


@pytest.fixture(scope="module", autouse=True)
def every_cell_in_the_page(tmp_path_factory):
    """JupyterLab takes cells that are out of sight out of the page; here all are counted and looked at."""
    folder = tmp_path_factory.mktemp("settings")
    file = folder / "@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    file.parent.mkdir(parents=True)
    file.write_text('{"windowingMode": "none"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTERLAB_SETTINGS_DIR", str(folder))
        yield


def outputs(page, kind: str):
    return page.locator(f"{SHOWN} .jp-OutputArea-output {kind}")


def all_ran(page) -> None:
    """Every cell has a number in front of it: none runs or waits."""
    page.wait_for_function(
        """shown => [...document.querySelectorAll(`${shown} .jp-CodeCell .jp-InputArea-prompt`)]
                     .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))""",
        arg=SHOWN,
        timeout=1_500_000,
    )


def pictures(page, info, when: str) -> None:
    folder = os.environ.get("LLMLAB_SCREENSHOTS")
    if not folder:
        return
    cells = page.locator(f"{SHOWN} .jp-CodeCell")
    for number in range(cells.count()):
        shown = cells.nth(number).locator(".jp-Cell-outputWrapper")
        if shown.count() and shown.first.inner_text().strip():
            shown.first.scroll_into_view_if_needed()
            shown.first.screenshot(path=f"{folder}/{info.number}-{when}-{number:02}.png")


def ran(page, address, info, axe, when: str) -> str:
    """All cells, one after the other; gives what the notebook then says."""
    open_notebook(page, address, f"labs/{info.name}/{info.notebook.name}")
    run_all(page)
    all_ran(page)
    pictures(page, info, when)
    said = page.locator(f"{SHOWN}").inner_text()
    assert "Traceback" not in said
    assert outputs(page, "mjx-container").count() == 0, "a shell's dollars are no formula"
    assert findings(page, axe, f"{SHOWN} .jp-OutputArea") == []
    return said


@each_lab
def test_the_untouched_files_and_then_the_worked_ones(info, page, address, course, axe):
    points = f"{info.points:g}"
    assert f"of {points} points" in ran(page, address, info, axe, "untouched")

    folder = course / info.folder.relative_to(COURSE)
    for name in info.artifacts:
        shutil.copy(info.solution / name, folder / name)
    shutil.copy(info.solution / "lab.ipynb", folder / info.notebook.name)
    said = ran(page, address, info, axe, "worked")
    assert re.search(rf"\b{points} of {points} points", said), said[-3000:]
    assert outputs(page, "img").count()
    assert all(picture.get_attribute("alt") for picture in outputs(page, "img").all())
    assert page.errors == []
