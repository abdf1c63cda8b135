"""What the edge needs of the machine."""

from __future__ import annotations

from ...tier import MAC, Need, program


def node() -> Need:
    """Node, for tools of the worker's ecosystem."""
    met, detail = program("node", "--version")
    return Need("node", met, detail, "brew install node" if MAC else "sudo apt-get install nodejs npm")


def edge() -> Need:
    """workerd, the runtime that Cloudflare Workers are written for."""
    from . import workerd

    here = workerd.found()
    if here is None:
        return Need("edge", False, "workerd is neither on PATH nor fetched yet", "uv run llmlab fetch edge")
    return Need("edge", True, f"workerd {workerd.VERSION}" if "llmlab" in str(here) else str(here))
