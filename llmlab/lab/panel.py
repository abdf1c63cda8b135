"""The lab's panel: buttons that call the lab's own methods, and a live throughput chart.

Work runs in a thread of its own, because a running cell blocks widget messages; the panel only shows what
`lab.serve()`, `lab.check()`, `lab.hint()` and `lab.reset()` return.
"""

from __future__ import annotations

import html
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as widgets

from ..course.progress import work_folder
from ..course.reset import kept
from ..errors import LabError, Stopped, interrupt
from ..show.bars import drawn_by

if TYPE_CHECKING:
    from ..course.checked import Checked
    from ..course.hints import Hint
    from ..course.info import LabInfo
    from ..load import Progress
    from ..tiers.process.notebook import LiveServer


class Buttons(Protocol):
    """What the buttons call: a lab."""

    info: LabInfo
    files: Path
    running: LiveServer | None

    def serve(self) -> LiveServer:
        """Start what server.toml describes."""

    def check(self) -> Checked:
        """Deploy the files afresh and probe what runs."""

    def hint(self) -> Hint:
        """The next hint for the first failed check."""

    def reset(self) -> list[str]:
        """Put the starter files back."""

    def stop(self) -> None:
        """Stop what runs."""


class Panel(widgets.VBox):  # type: ignore[misc]
    """Start, load, check, hint, reset, stop; a status line, a bar, a chart, and the last result."""

    def __init__(self, lab: Buttons) -> None:
        self.lab = lab  # what its buttons call
        self.status = widgets.HTML("ready")  # one line: what goes on
        self.bar = widgets.HTML("")  # how far it is
        self.chart = widgets.HTML("")  # tokens a second while it is loaded
        self.output = widgets.HTML("")  # the last result
        self._points: list[tuple[float, float]] = []
        self._drawn = 0.0
        self._worker: threading.Thread | None = None
        self._where = ""  # how far a load is, for when it is stopped
        self._stopped = False  # whether Stop was pressed while it worked
        self._asked = False  # whether Reset was pressed once
        self._buttons = {
            name: self._button(name, tip, work, icon)
            for name, tip, work, icon in (
                ("Start", "Start what server.toml describes", self._start, "play"),
                ("Load", "Load it at concurrency 1, 2, 4 and 8", self._load, "tachometer"),
                ("Check", "Deploy the files afresh and probe what runs", self._check, "check"),
                ("Hint", "The next hint for the first failed check", self._hint, "lightbulb-o"),
                ("Reset", "Put the starter files back (yours are kept); asks first", self._reset, "undo"),
            )
        }
        if not lab.info.artifacts:
            self._buttons["Reset"].disabled = True
        self._halt = self._made("Stop", "Stop what is at work; when nothing is, the server", "stop")
        self._halt.on_click(lambda _: self._stop())
        row = widgets.HBox([*self._buttons.values(), self._halt])
        row.layout.flex_flow = "row wrap"
        super().__init__([row, self.status, self.bar, self.chart, self.output, _live_region(self.status)])

    @staticmethod
    def _made(name: str, tip: str, icon: str) -> widgets.Button:
        return widgets.Button(description=name, tooltip=tip, icon=icon, layout={"width": "auto"})

    def _button(self, name: str, tip: str, work: Callable[[], None], icon: str) -> widgets.Button:
        button = self._made(name, tip, icon)
        button.on_click(lambda _: self._run(name, work))
        return button

    def _at_work(self) -> bool:
        return self._worker is not None and self._worker.is_alive()

    def _run(self, name: str, work: Callable[[], None]) -> None:
        if self._at_work():
            return
        # The pressed one stays enabled: a button that is disabled loses the keyboard's focus. A second press does nothing.
        for label, button in self._buttons.items():
            button.disabled = label != name
        self._asked = self._asked and name == "Reset"
        self._where = self.bar.value = self.chart.value = self.output.value = ""
        self._say(f"{name} …")

        def guarded() -> None:
            try:
                with drawn_by(self._show_bar):
                    work()
            except Stopped:
                self._say(f"{name}: stopped by you{self._where}; nothing of it runs any more")
                self.bar.value = self.chart.value = ""
            except LabError as error:
                self._say(f"{name}: {error.what}")
                self.output.value = f"<pre>{html.escape(str(error))}</pre>"
            except Exception as error:  # a thread's traceback would be lost in the kernel's log
                self._say(f"{name}: {type(error).__name__}: {error}")

        def work_and_wake() -> None:
            try:
                guarded()
            except Stopped:  # it came when the work was done
                self._say(f"{name}: stopped by you")
            finally:
                for label, button in self._buttons.items():
                    button.disabled = label == "Reset" and not self.lab.info.artifacts

        self._stopped = False
        self._worker = threading.Thread(target=work_and_wake, name=f"llmlab-{name}", daemon=True)
        self._worker.start()

    def wait(self, timeout: float = 600) -> None:
        """Wait until the last button's work is done (for code that presses buttons)."""
        if self._worker is not None:
            self._worker.join(timeout)

    def press(self, name: str) -> None:
        """Press a button from code: "Start", "Load", "Check", "Hint", "Reset" or "Stop"."""
        (self._halt if name == "Stop" else self._buttons[name]).click()

    def _say(self, text: str) -> None:
        self.status.value = html.escape(text)

    def _show_bar(self, page: str) -> None:
        self.bar.value = page

    def _start(self) -> None:
        live = self.lab.serve()
        self._say(live.status())
        self.output.value = f"<pre style='white-space:pre-wrap'>{html.escape(live.server.command)}</pre>"

    def _load(self) -> None:
        live = self.lab.running if self.lab.running is not None else self.lab.serve()
        self._points.clear()
        began = time.monotonic()

        def event(progress: Progress) -> None:
            self._where = f" at run {progress.run + 1} of {progress.runs}, no record is kept"
            self._points.append((time.monotonic() - began, progress.tokens_per_second))
            self._draw(progress)

        live.listeners.append(event)
        try:
            measured = live.load(concurrency=[1, 2, 4, 8])
        finally:
            live.listeners.remove(event)
        self._say(live.status())
        self.output.value = measured.plot().html

    def _draw(self, progress: Progress) -> None:
        from ..figures import live

        # The client runs in a process of its own, so drawing here does not disturb what is measured much;
        # twice a second is smooth enough all the same.
        if time.monotonic() - self._drawn < 0.5:
            return
        self._drawn = time.monotonic()
        self.chart.value = live(self._points, label=f"run {progress.run + 1} of {progress.runs}").html

    def _check(self) -> None:
        result = self.lab.check()
        self.output.value = result._repr_html_()
        self._say(f"{'✔ all checks passed' if result.passed else '✘ ' + ', '.join(result.failing)}")

    def _hint(self) -> None:
        self.output.value = self.lab.hint()._repr_html_()
        self._say("hint")

    def _reset(self) -> None:
        if not self._asked:
            self._asked = True
            self._say(
                f"Press Reset again to put the starter files back; yours are kept in {work_folder(self.lab.files)}"
            )
            return
        self._asked = False
        before = kept(self.lab.files)
        names = ", ".join(self.lab.reset())
        folder = kept(self.lab.files)
        if folder == before:
            self._say(f"The starter files are back: {names}. None of yours was different.")
            return
        self._say(f"The starter files are back: {names}. Yours are in {folder}.")
        self.output.value = (
            f"<p>Close or revert the open tab of {html.escape(names)}: it still shows your text, and would save it again.</p>"
            "<p><code>lab.undo()</code> puts your files back.</p>"
        )

    def _stop(self) -> None:
        if self._worker is not None and self._at_work():
            if not self._stopped:  # a second one would cut short how the first one ends what runs
                self._stopped = True
                self._say("stopping …")
                interrupt(self._worker)
            return
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


def _live_region(status: widgets.HTML) -> widgets.Output:
    """What makes the element of a widget a live region, so that a screen reader says each new text.

    An HTML widget's element stays while its value is replaced inside of it. ipywidgets sets no `role`: a line of script does, once.
    """
    name = f"llmlab-status-{secrets.token_hex(4)}"
    status.add_class(name)
    script = f"""
const mark = (left) => {{
  const found = document.querySelector(".{name}");
  if (found) {{ found.setAttribute("role", "status"); found.setAttribute("aria-atomic", "true"); }}
  else if (left > 0) setTimeout(mark, 100, left - 1);
}};
mark(100);"""
    data = {"application/javascript": script, "text/plain": ""}
    return widgets.Output(outputs=({"output_type": "display_data", "data": data, "metadata": {}},))
