"""The parent's side of the load client: start it, give it orders, hear it out, end it."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import TracebackType

import msgspec
import psutil

from ..errors import LabError
from ..system import owned
from .protocol import Done, Go, Order, Said, Setup, Tick

SILENCE = 30.0  # seconds without a tick (they come every 0.25 s) after which the client is taken for hung
LOOK = 0.1  # seconds between two looks at `cancel`

_read = msgspec.json.Decoder(Said).decode


class Worker:
    """The child process of one measurement; a context manager, and gone when it leaves.

    The child also exits when its stdin ends, so it does not outlive a parent that is killed with -9.
    """

    def __init__(self, setup: Setup, *, cancel: threading.Event | None = None) -> None:
        self._setup = setup
        self._cancel = cancel or threading.Event()
        self._buffer = bytearray()

    def __enter__(self) -> Worker:
        root = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self._errors = tempfile.TemporaryFile()
        self._child = subprocess.Popen(
            # -P: a learner's `random.py` in the lab's folder must not stand before the standard library's.
            [sys.executable, "-P", "-m", "llmlab.load.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": path},
            bufsize=0,
            start_new_session=True,  # Ctrl-C in a terminal reaches the parent alone, which then ends this
        )
        self._entry = None
        with contextlib.suppress(psutil.Error):
            start = psutil.Process(self._child.pid).create_time()
            self._entry = owned.register("process", "load client", pid=self._child.pid, start=start)
        self.tell(self._setup)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        with contextlib.suppress(OSError):
            self._child.stdin.close()
        try:
            self._child.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child.stdout.close()
        self._errors.close()
        if self._entry is not None:
            owned.forget(self._entry)

    def carry_out(self, order: Order, on_tick: Callable[[Tick], None]) -> Done:
        """Send one order and hear its ticks until it is done.

        :raises LabError: cancelled, or the client died or fell silent.
        """
        self.tell(order)
        for _, event in hear([self], self._cancel):
            if isinstance(event, Done):
                return event
            if isinstance(event, Tick):
                on_tick(event)
        raise AssertionError("it is heard until it is done")

    def tell(self, what: Setup | Order | Go) -> None:
        """One line to the child.

        :raises LabError: it died.
        """
        assert self._child.stdin is not None
        data = memoryview(msgspec.json.encode(what) + b"\n")
        try:
            while data:
                data = data[os.write(self._child.stdin.fileno(), data) :]
        except BrokenPipeError:
            raise self._died() from None

    def fileno(self) -> int:
        """Of the pipe it is heard by."""
        assert self._child.stdout is not None
        return self._child.stdout.fileno()

    @property
    def pid(self) -> int:
        """Of the child."""
        return self._child.pid

    def read(self) -> list[Said]:
        """What it has said since it was read last; waits where that is nothing.

        :raises LabError: it died.
        """
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            raise self._died()
        *lines, rest = data.split(b"\n")
        if not lines:
            self._buffer += rest
            return []
        lines[0] = bytes(self._buffer) + lines[0]
        self._buffer = bytearray(rest)
        return [_read(line) for line in lines]

    def _died(self) -> LabError:
        code = self._child.wait(timeout=5)
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        return LabError(f"The load client ended with code {code}: {''.join(last) or 'no message'}.")


def hear(workers: list[Worker], cancel: threading.Event) -> Iterator[tuple[Worker, Said]]:
    """What these say, as it comes, while there are any in the list.

    :raises LabError: cancelled, or one of them died or fell silent.
    """
    spoke = dict.fromkeys(workers, monotonic())
    while workers:
        if cancel.is_set():
            raise LabError("The measurement was stopped.")
        ready = select.select(workers, [], [], LOOK)[0]
        for worker in list(workers):
            if worker in ready:
                spoke[worker] = monotonic()
                for event in worker.read():
                    yield worker, event
            elif monotonic() > spoke[worker] + SILENCE:
                raise LabError(f"The load client was silent for {SILENCE:.0f} s.", where=f"pid {worker.pid}")
