"""Runs a notebook's cells, in a sandbox, in IPython itself: `python -m llmlab.grade.inside`.

No kernel and no sockets, so it is quick and one process holds it all. Nothing it says earns a point: it tells what the
cells showed, and the answers that the learner's cells gave. The one who asked checks both.
"""

# mypy: allow-untyped-calls
# (IPython is only partly annotated)

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

from ..checks.talk import Asked

MOST_TEXT = 1 << 20  # characters a cell may print
MOST_DATA = 8 << 20  # characters of pictures and tables a cell may show
STUBBORN = 5.0  # seconds a cell may go on after it was told to stop


class OutOfTime(BaseException):
    """The cell's time is over."""


class CellOutputs:
    """What one cell shows, as nbformat 4 keeps it."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []
        self._ids: dict[str, list[dict[str, Any]]] = {}
        self._text = self._data = 0

    def stream(self, name: str, text: str) -> None:
        """Text printed to stdout or stderr."""
        if self._text > MOST_TEXT:
            return
        self._text += len(text)
        if self._text > MOST_TEXT:
            text = text[: MOST_TEXT - self._text] + f"\n… cut off after {MOST_TEXT:,} characters\n"
        last = self.outputs[-1] if self.outputs else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            done, end, line = last["text"].rpartition("\n")
            last["text"] = done + end + _overwritten(line + text)
        else:
            self.outputs.append({"output_type": "stream", "name": name, "text": _overwritten(text)})

    def bundle(self, kind: str, data: dict[str, Any], metadata: dict[str, Any], **more: Any) -> None:
        """A result or a picture."""
        text = json.dumps([data, metadata], default=repr)
        self._data += len(text)
        if self._data > MOST_DATA or len(self.outputs) > 500:
            return
        data, metadata = json.loads(text)
        self.outputs.append({"output_type": kind, "data": data, "metadata": metadata, **more})

    def error(self, name: str, value: str, lines: list[str]) -> None:
        """A traceback."""
        self.outputs.append(
            {
                "output_type": "error",
                "ename": name[:200],
                "evalue": value[:10_000],
                "traceback": [line[:10_000] for line in lines[-30:]],
            }
        )

    def clear(self) -> None:
        """Forget what was shown (`clear_output`)."""
        self.outputs.clear()

    def published(
        self, data: dict[str, Any], metadata: dict[str, Any], name: str | None, update: bool
    ) -> None:
        """What `display()` shows, or shows anew under the same name."""
        if update and name in self._ids:
            for output in self._ids[name]:
                output["data"] = json.loads(json.dumps(data, default=repr))
            return
        self.bundle("display_data", data, metadata)
        if name is not None and self.outputs:
            self._ids.setdefault(name, []).append(self.outputs[-1])


def _overwritten(text: str) -> str:
    """As a terminal shows it: after a carriage return a line is written anew (progress bars do that)."""
    return re.sub(r"[^\n]*\r(?=[^\r\n])", "", text) if "\r" in text else text


class _Stream(io.TextIOBase):
    def __init__(self, run: CellSession, name: str) -> None:
        self._run, self._name = run, name

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._run.shown.stream(self._name, str(text))
        return len(text)


class CellSession:
    """The shell, and the cell that is at work in it."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.shown = CellOutputs()
        self.shell = _shell(self)
        self._until = 0.0
        self._paused = False
        self._never = threading.Event()
        asked.waiting = self._pause
        signal.signal(signal.SIGALRM, self._alarm)
        threading.Thread(target=self._watch, daemon=True).start()

    def cell(self, cell: dict[str, Any]) -> None:
        """Run one cell within its time, and tell what it showed."""
        self.shown = CellOutputs()
        began = time.monotonic()
        self._until = began + cell["seconds"]
        status = "ok"
        try:
            signal.setitimer(signal.ITIMER_REAL, cell["seconds"], 1.0)
            try:
                done = self.shell.run_cell(cell["source"], store_history=True)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            error = done.error_before_exec or done.error_in_exec
            if error is not None:
                status = "timeout" if isinstance(error, OutOfTime) else "error"
        except (
            BaseException
        ) as error:  # a learner's cell may raise anything, SystemExit and the alarm included
            status = "timeout" if isinstance(error, OutOfTime) else "error"
            self.shown.error(type(error).__name__, str(error), [])
        self._until = 0.0
        self.asked.emit(
            {
                "event": "cell",
                "id": cell["id"],
                "status": status,
                "outputs": self.shown.outputs,
                "count": self.shell.execution_count - 1,
                "seconds": round(time.monotonic() - began, 3),
            }
        )

    def _alarm(self, *_: object) -> None:
        if self._until:
            raise OutOfTime("the time for this cell is over")

    def _watch(self) -> None:
        """End a cell that does not let itself be stopped (it swallows what is raised, or never leaves C)."""
        while not self._never.wait(0.5):
            until = self._until
            if until and not self._paused and time.monotonic() > until + STUBBORN:
                self.asked.emit({"event": "stuck"})
                os._exit(4)

    @contextlib.contextmanager
    def _pause(self) -> Iterator[None]:
        """Waiting for its turn to measure is not the cell's time."""
        left = signal.setitimer(signal.ITIMER_REAL, 0)[0]
        self._paused, began = True, time.monotonic()
        try:
            yield
        finally:
            self._until += time.monotonic() - began
            self._paused = False
            if threading.current_thread() is threading.main_thread():
                signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), 1.0)


def _shell(run: CellSession) -> InteractiveShell:
    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            pass

        def finish_displayhook(self) -> None:
            pass

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            count = run.shell.execution_count
            run.shown.bundle("execute_result", format_dict, md_dict or {}, execution_count=count)

    class Publisher(DisplayPublisher):
        def publish(
            self,
            data: Any,
            metadata: Any = None,
            *_: Any,
            transient: Any = None,
            update: bool = False,
            **__: Any,
        ) -> None:
            run.shown.published(data, metadata or {}, (transient or {}).get("display_id"), update)

        def clear_output(self, wait: bool = False) -> None:
            run.shown.clear()

    class Shell(InteractiveShell):
        displayhook_class = Hook
        display_pub_class = Publisher

        def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
            run.shown.error(
                etype.__name__, str(evalue), list(stb) if isinstance(stb, list | tuple) else [str(stb)]
            )

        def enable_gui(self, gui: Any = None) -> None:
            pass

    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.autocall = 0
    return Shell.instance(config=config)


def main() -> None:
    """Take the order, run the cells one after the other, hand over the answers."""
    asked = Asked()
    order = asked.order
    files = Path(order["work"])
    shutil.copytree(order["files"], files, dirs_exist_ok=True)
    os.chdir(files)
    from ..load import turn

    turn.take = asked.turn
    run = CellSession(asked)
    sys.stdin = io.StringIO()  # input() answers at once, with an error, instead of never
    sys.stdout, sys.stderr = _Stream(run, "stdout"), _Stream(run, "stderr")
    for cell in order["cells"]:
        run.cell(cell)
    answers = ""
    with contextlib.suppress(OSError, UnicodeDecodeError):
        answers = (files / ".llmlab" / "answers.json").read_text(encoding="utf-8")[: 1 << 16]
    asked.emit({"event": "end", "answers": answers})
    os._exit(0)  # threads that the cells left behind are no reason to wait


if __name__ == "__main__":
    main()
