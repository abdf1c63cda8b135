"""What one does in JupyterLab again and again."""

from __future__ import annotations

import re

SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # of several that are open, the one in sight


def idle(page) -> None:
    """The kernel is attached and has nothing to do (the status bar is right where the toolbar is early)."""
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for(timeout=300_000)


def run_all(page) -> None:
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_cell(page, text):
    """Put the cursor into the cell that holds this text and press Shift+Enter; gives the cell."""
    cell = page.locator(f"{SHOWN} .jp-CodeCell", has=page.locator(".jp-InputArea", has_text=text)).first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    return cell


def open_notebook(page, address: str, path: str) -> None:
    base, token = address.split("/lab/")[0], address.split("token=")[1]
    page.goto(f"{base}/lab/tree/{path}?token={token}", wait_until="domcontentloaded")
    page.locator(f"{SHOWN} .jp-Cell").first.wait_for()
    idle(page)


def tab(page, name: str) -> None:
    page.locator(".lm-TabBar-tab", has_text=name).first.click()


def findings(page, axe: str, part: str) -> list[str]:
    """What axe-core finds in a part of the page, as `rule: element`."""
    page.evaluate(axe)
    # JupyterLab's own frame (landmarks, headings of other cells) is not ours to judge.
    options = {
        "rules": {
            "region": {"enabled": False},
            "heading-order": {"enabled": False},
            "page-has-heading-one": {"enabled": False},
        }
    }
    found = page.evaluate("([part, options]) => axe.run(part, options)", [part, options])
    return [f"{rule['id']}: {node['html'][:200]}" for rule in found["violations"] for node in rule["nodes"]]
