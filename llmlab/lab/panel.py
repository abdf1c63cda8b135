"""The lab's panel: buttons that call the lab's own methods, and a live throughput chart.

Work runs in a thread of its own, because a running cell blocks widget messages; the panel only shows what
`lab.serve()`, `lab.check()`, `lab.hint()` and `lab.reset()` return.
"""

from __future__ import annotations

import html
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from ..errors import LabError

if TYPE_CHECKING:
    from ..course.checked import Checked
    from ..course.hints import Hint
    from ..course.info import LabInfo
    from ..load import Progress
    from ..show.measured import Measured
    from ..tiers.process.notebook import LiveServer


class Buttons(Protocol):
    """What the buttons call: a lab."""

    info: LabInfo
    running: LiveServer | None
    last: Measured | None

    def serve(self) -> LiveServer:
        """Start what server.toml describes."""

    def check(self, *, quiet: bool) -> Checked:
        """Deploy the files afresh and probe what runs."""

    def hint(self) -> Hint:
        """The next hint for the first failed check."""

    def reset(self) -> list[str]:
        """Put the starter files back."""

    def stop(self) -> None:
        """Stop what runs."""


class Panel(widgets.VBox):  # type: ignore[misc]
    """Start, load, check, hint, reset, stop; a status line, a chart, and the last result."""

    def __init__(self, lab: Buttons) -> None:
        self.lab = lab  # what its buttons call
        self.status = widgets.HTML('<div role="status">ready</div>')  # one line: what goes on
        self.chart = widgets.HTML("")  # tokens a second while it is loaded
        self.output = widgets.HTML("")  # the last result
        self._points: list[tuple[float, float]] = []
        self._drawn = 0.0
        self._worker: threading.Thread | None = None
        self._buttons = {
            name: self._button(name, tip, work, icon)
            for name, tip, work, icon in (
                ("Start", "Start what server.toml describes", self._start, "play"),
                ("Load", "Load it at concurrency 1, 2, 4 and 8", self._load, "tachometer"),
                ("Check", "Deploy the files afresh and probe what runs", self._check, "check"),
                ("Hint", "The next hint for the first failed check", self._hint, "lightbulb-o"),
                ("Reset", "Put the starter files back (yours are kept)", self._reset, "undo"),
            )
        }
        if not lab.info.artifacts:
            self._buttons["Reset"].disabled = True
        stop = widgets.Button(description="Stop", tooltip="Stop the server now", icon="stop")
        stop.on_click(lambda _: self._stop())
        row = widgets.HBox([*self._buttons.values(), stop])
        super().__init__([row, self.status, self.chart, self.output])

    def _button(self, name: str, tip: str, work: Callable[[], None], icon: str) -> widgets.Button:
        button = widgets.Button(description=name, tooltip=tip, icon=icon)
        button.on_click(lambda _: self._run(name, work))
        return button

    def _run(self, name: str, work: Callable[[], None]) -> None:
        if self._worker is not None and self._worker.is_alive():
            return
        for button in self._buttons.values():
            button.disabled = True
        self._say(f"{name} …")

        def guarded() -> None:
            try:
                work()
            except LabError as error:
                self._say(f"{name}: {error.what}")
                self.output.value = f"<pre>{html.escape(str(error))}</pre>"
            except Exception as error:  # a thread's traceback would be lost in the kernel's log
                self._say(f"{name}: {type(error).__name__}: {error}")
            finally:
                for label, button in self._buttons.items():
                    button.disabled = label == "Reset" and not self.lab.info.artifacts

        self._worker = threading.Thread(target=guarded, name=f"llmlab-{name}", daemon=True)
        self._worker.start()

    def wait(self, timeout: float = 600) -> None:
        """Wait until the last button's work is done (for code that presses buttons)."""
        if self._worker is not None:
            self._worker.join(timeout)

    def press(self, name: str) -> None:
        """Press a button from code: "Start", "Load", "Check", "Hint" or "Reset"."""
        self._buttons[name].click()

    def _say(self, text: str) -> None:
        self.status.value = f'<div role="status">{html.escape(text)}</div>'

    def _start(self) -> None:
        live = self.lab.serve()
        self._say(live.status())
        self.output.value = f"<pre style='white-space:pre-wrap'>{html.escape(live.server.command)}</pre>"

    def _load(self) -> None:
        live = self.lab.running if self.lab.running is not None else self.lab.serve()
        self._points.clear()
        began = time.monotonic()

        def event(progress: Progress) -> None:
            self._points.append((time.monotonic() - began, progress.tokens_per_second))
            self._draw(progress)

        live.listeners.append(event)
        try:
            self.lab.last = live.load(concurrency=[1, 2, 4, 8], quiet=True)
        finally:
            live.listeners.remove(event)
        self._say(live.status())
        self.output.value = self.lab.last.plot().html

    def _draw(self, progress: Progress) -> None:
        from ..figures import live

        # The client runs in a process of its own, so drawing here does not disturb what is measured much;
        # twice a second is smooth enough all the same.
        if time.monotonic() - self._drawn < 0.5:
            return
        self._drawn = time.monotonic()
        self.chart.value = live(self._points, label=f"run {progress.run + 1} of {progress.runs}").html

    def _check(self) -> None:
        result = self.lab.check(quiet=True)
        self.output.value = result._repr_html_()
        self._say(f"{'✔ all checks passed' if result.passed else '✘ ' + ', '.join(result.failing)}")

    def _hint(self) -> None:
        self.output.value = self.lab.hint()._repr_html_()
        self._say("hint")

    def _reset(self) -> None:
        names: list[str] = self.lab.reset()
        self._say(f"starter files are back: {', '.join(names)}")
        self.output.value = ""

    def _stop(self) -> None:
        self.lab.stop()
        self._say("○ llama-server stopped")

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        bundle = super()._repr_mimebundle_(*args, **kwargs)
        # What papermill and a screen reader find where there is no widget manager.
        text = "lab panel: the same as lab.serve(), server.load(...), lab.check(), lab.hint(), lab.reset(), lab.stop()"
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if isinstance(data, dict):
            data["text/plain"] = text
        return bundle
