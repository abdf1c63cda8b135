"""The one class of error a user can meet, and how it is shown."""

from __future__ import annotations

import contextlib
import ctypes
import re
import threading
from collections.abc import Iterator


class LabError(Exception):
    """Something the user can mend.

    `what` happened, `where` (file and line, port, pid), the one command or edit that mends it (`fix`),
    and how to go on `without` it. Shown as those lines, in a notebook and in a shell, never as a traceback.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        without: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.fix = fix
        self.without = without

    def lines(self) -> list[str]:
        """The message as lines: what, where, fix, how to go on without."""
        out = [self.what]
        if self.where:
            out.append(f"  where: {self.where}")
        if self.fix:
            out.append(f"  fix:   {self.fix}")
        if self.without:
            out.append(f"  or:    {self.without}")
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _render_traceback_(self) -> list[str]:
        """IPython shows these lines instead of a traceback; JupyterLab makes a link of `FILE:LINE` that leads to the line."""
        lines = [re.sub(r", line (\d+)", r":\1", line) if "where:" in line else line for line in self.lines()]
        return [f"✘ {line}" if n == 0 else line for n, line in enumerate(lines)]


class Unavailable(LabError):
    """The machine's trouble, not that of the learner's files: a daemon that is gone, a full disk. Costs nobody points."""


class Stopped(KeyboardInterrupt):
    """The learner has interrupted the work of a cell, and it has been ended. Shown as one line, never as a traceback."""

    what = "stopped by you; nothing of it runs any more. Run the cell again."

    def __str__(self) -> str:
        return self.what

    def _render_traceback_(self) -> list[str]:
        """IPython shows this line instead of a traceback."""
        return [f"✘ {self.what}"]


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Round work that ends itself when it is interrupted (Interrupt in a notebook, Ctrl-C in a shell); may be nested.

    :raises Stopped: instead of the KeyboardInterrupt.
    """
    try:
        yield
    except Stopped:
        raise
    except KeyboardInterrupt:
        raise Stopped from None


def interrupt(thread: threading.Thread) -> None:
    """Interrupt work in another thread, as Ctrl-C does it in the main one: `Stopped` is raised there, at its next step in Python."""
    if thread.ident is not None and thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))
