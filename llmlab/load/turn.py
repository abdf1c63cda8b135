"""Whose turn it is to measure. A module of its own, because a grader sets it in processes that may never measure."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import IO

#: Names a file. Whoever measures on this machine locks it, so that programs which know nothing of each other (a suite's
#: workers, their kernels and graders) measure one after the other. Unset: only what one grader started takes turns.
VARIABLE = "LLMLAB_TURN"

AGAIN = 0.02  # seconds between two looks at a lock that another process holds; who measures again and again leaves it free no longer


@contextlib.contextmanager
def _machine() -> Iterator[None]:
    """Hold the file that `LLMLAB_TURN` names, if it names one."""
    turn = Turn()
    turn.take(lambda: True)
    try:
        yield
    finally:
        turn.give_back()


#: Held around a measurement. A grader of many submissions sets it, so that only one measures at a time.
take: Callable[[], contextlib.AbstractContextManager[None]] = _machine


class Turn:
    """One machine, one measurement at a time: whoever measures holds it, the others wait.

    `longest`: seconds after which somebody who does not give it back has lost it.
    """

    def __init__(self, *, longest: float = 120.0) -> None:
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self.longest = longest

    def take(self, alive: Callable[[], bool]) -> bool:
        """Wait for it; False when the one who asked is gone meanwhile."""
        while not self._lock.acquire(timeout=0.25):
            if not alive():
                return False
        name = os.environ.get(VARIABLE)
        if not name:
            return True
        import fcntl

        self._file = open(name, "ab")  # noqa: SIM115 - closed, and so unlocked, by give_back
        between = threading.Event()
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                between.wait(AGAIN)
                if alive():
                    continue
                self.give_back()
                return False
            return True

    def give_back(self) -> None:
        """Let the next one measure."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._lock.release()
