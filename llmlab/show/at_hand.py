"""A lab's files, a terminal and live pages, one click away: JupyterLab's own commands as buttons in a cell's output.

JupyterLab runs the command of a button with `data-commandlinker-command` in the output of a cell that was run here; no extension
is needed (https://jupyterlab.readthedocs.io/en/stable/user/interface.html). Elsewhere (VS Code, a saved page) the links stay.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil


def jupyter() -> dict[str, Any] | None:
    """The Jupyter server of this kernel, as it says of itself: `root_dir`, `base_url`, …; None where there is none.

    Every running server leaves a file with its process and its folder (`jupyter server list`); ours is an ancestor of this kernel.
    """
    if os.environ.get("LLMLAB_GRADING"):
        return None
    from jupyter_server.serverapp import list_running_servers

    try:
        ancestors = {process.pid for process in psutil.Process().parents()}
        return next((server for server in list_running_servers() if server.get("pid") in ancestors), None)
    except (OSError, psutil.Error, ValueError):
        return None


def _button(label: str, command: str, arguments: dict[str, object], tip: str) -> str:
    return (
        f'<button type="button" class="jp-Button jp-mod-styled" style="margin-right:.5em;width:auto" title="{html.escape(tip)}" '
        f'data-commandlinker-command="{command}" data-commandlinker-args="{html.escape(json.dumps(arguments))}">'
        f"{html.escape(label)}</button>"
    )


def buttons(files: Path, artifacts: Sequence[str]) -> str:
    """A button a file that opens it beside the notebook, and one for a terminal in this folder; "" where no JupyterLab can be found."""
    server = jupyter()
    root = Path(server["root_dir"]).resolve() if server and server.get("root_dir") else None
    if root is None or not files.resolve().is_relative_to(root):
        return ""
    folder = files.resolve().relative_to(root)
    out = [
        _button(
            f"{name} beside",
            "docmanager:open",
            {"path": (folder / name).as_posix(), "factory": "Editor", "options": {"mode": "split-right"}},
            f"Open {name} in an editor at the right of this notebook",
        )
        for name in artifacts
        if (files / name).is_file()
    ]
    out.append(
        _button(
            "terminal here",
            "terminal:create-new",
            {"cwd": folder.as_posix()},
            "Open a terminal in this lab's folder",
        )
    )
    return f'<div style="margin:.5em 0">{"".join(out)}</div>'


def links(files: Path, artifacts: Sequence[str]) -> str:
    """The lab's files as links: `server.toml`, …"""
    return ", ".join(
        f'<a href="{html.escape(name)}"><code>{html.escape(name)}</code></a>'
        for name in artifacts
        if (files / name).is_file()
    )


def live_page(label: str, port: int, path: str = "") -> str:
    """A button that opens what listens on a port of this machine in a tab of the browser; "" outside of a Jupyter server.

    It goes through Jupyter itself (jupyter-server-proxy), so it works where the browser is on another machine: on Binder, on a hub.
    """
    server = jupyter()
    if server is None:
        return ""
    url = f"{server.get('base_url', '/')}proxy/{port}/{path}"
    arguments: dict[str, object] = {"url": url, "text": label, "newBrowserTab": True}
    return _button(label, "help:open", arguments, f"Open {label} in a tab of the browser")
