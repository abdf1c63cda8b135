"""Interrupt in a kernel: one line instead of a traceback, and nothing of the work is left."""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
from pathlib import Path
from time import monotonic

import psutil
import pytest
from jupyter_client.manager import KernelManager

from llmlab.errors import Stopped, stoppable

COURSE = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.needs("process")


def test_a_nested_interrupt_is_one_and_says_that_it_was_ended():
    with pytest.raises(Stopped, match="stopped by you") as caught, stoppable(), stoppable():
        raise KeyboardInterrupt
    assert caught.value._render_traceback_() == [
        "✘ stopped by you; nothing of it runs any more. Run the cell again."
    ]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel in lab 01 of a copy of the course, with the lab and a server."""
    course = tmp_path_factory.mktemp("course")
    skip = shutil.ignore_patterns("records", ".llmlab", "index.md", "__pycache__")
    for name in ("labs/01-one-server", "solutions/01-one-server"):
        shutil.copytree(COURSE / name, course / name, ignore=skip)
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(
        cwd=str(course / "labs/01-one-server"), env=os.environ | {"LLMLAB_COURSE": str(course)}
    )
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=60)
    try:
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


class Kernel:
    def __init__(self, manager: KernelManager, client: object) -> None:
        self.manager, self.client = manager, client
        self.process = psutil.Process(manager.provisioner.process.pid)

    def run(self, code: str, *, interrupt_at: str = "") -> str:
        """What the cell shows; interrupted as soon as an output has this text."""
        asked = self.client.execute(code)
        shown, end = [], monotonic() + 120
        while monotonic() < end:
            message = self.client.get_iopub_msg(timeout=60)
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            data = content.get("data", {})
            shown += [data.get("text/plain", ""), content.get("text", ""), *content.get("traceback", [])]
            if interrupt_at and interrupt_at in str(data):
                self.manager.interrupt_kernel()
                interrupt_at = ""
            if content.get("execution_state") == "idle":
                return "\n".join(filter(None, shown))
        raise AssertionError(f"no end: {shown}")

    def click(self, button: str) -> None:
        """Press a widget's button."""
        data = {"method": "custom", "content": {"event": "click"}}
        session = self.client.session
        message = session.msg("comm_msg", {"comm_id": button, "data": data})
        self.client.shell_channel.send(message)

    def value_of(self, widget: str, text: str) -> str:
        """Its next value that has this text."""
        end = monotonic() + 120
        while monotonic() < end:
            message = self.client.get_iopub_msg(timeout=60)
            content = message["content"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == widget:
                value = content["data"].get("state", {}).get("value", "")
                if text in value:
                    return str(value)
        raise AssertionError(f"never {text}")

    def children(self) -> set[str]:
        """What the kernel has started and what runs, its children's children too."""
        found = set()
        for child in self.process.children(recursive=True):
            with contextlib.suppress(
                psutil.NoSuchProcess
            ):  # also of one that is over and was not waited for yet
                found.add(f"{child.pid} {' '.join(child.cmdline())}")
        return found


@pytest.mark.parametrize(
    ("code", "at"),
    [
        ("server.load(concurrency=[1, 2], requests=400, max_tokens=64)", "tokens/s"),
        ("lab.check()", "context-per-slot"),
        ("lab.sweep(threads=[1, 2], cpus=[None], seconds=20)", "1 thread"),
    ],
    ids=["load", "check", "sweep"],
)
def test_an_interrupt_is_one_line_and_leaves_nothing(kernel, code, at):
    kernel.run("from llmlab import Lab\nlab = Lab.here()\nserver = lab.serve()")
    assert "'" in kernel.run("server.url")
    before = kernel.children()
    records = kernel.run("len(list((lab.files / 'records').glob('*.json')))")
    said = kernel.run(code, interrupt_at=at)
    assert "✘ stopped by you; nothing of it runs any more. Run the cell again." in said
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said
    left = kernel.children()
    assert left <= before, "nothing new runs"
    assert kernel.run("len(list((lab.files / 'records').glob('*.json')))") == records, (
        "no record of what was cut"
    )
    assert "tokens" in kernel.run("lab.serve().load(concurrency=1, requests=2, max_tokens=4)"), (
        "and it goes on"
    )


def test_the_buttons_of_the_panel_are_pressed_as_a_browser_does_it(kernel):
    """A click is a message of the button's comm; so is each new text of the status."""
    kernel.run("from llmlab import Lab\nlab = Lab.here()\npanel = lab.panel()")
    names = (
        "[panel._buttons['Check'].model_id, panel._halt.model_id, panel.status.model_id, panel.bar.model_id]"
    )
    check, halt, status, bar = ast.literal_eval(kernel.run(names))
    before = kernel.children()
    kernel.click(check)
    assert "context-per-slot" in kernel.value_of(bar, "context-per-slot")
    kernel.click(halt)
    said = kernel.value_of(status, "stopped by you")
    assert said == "Check: stopped by you; nothing of it runs any more"
    kernel.run("panel.wait()")
    assert kernel.children() <= before
