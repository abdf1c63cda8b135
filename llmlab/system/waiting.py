"""Waiting for what comes in its own time: on a condition, with a deadline and a name for what was awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import LabError

T = TypeVar("T")
STEP = 0.1  # seconds between two looks


class Late(LabError):
    """It did not come before the deadline."""


def wait(
    what: str,
    condition: Callable[[], T | None],
    within: float,
    *,
    trouble: Callable[[], Sequence[str]] | None = None,
    never: Callable[[], LabError | None] | None = None,
    where: str | None = None,
) -> T:
    """What `condition` gives as soon as it is true.

    :param within: seconds.
    :param trouble: what else to say when it does not come to be.
    :param never: asked after each look that saw nothing; the error that says why it will never come ends the wait.
    :param where: file and line of what is awaited.
    :raises Late: at the deadline, with what `trouble` says.
    :raises LabError: what `never` gave.
    """
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        if never is not None and (why := never()) is not None:
            raise why
        if time.monotonic() > deadline:
            said = "\n".join(trouble()) if trouble else ""
            raise Late(
                f"Waited {within:.0f} s for {what}, and it did not come.{chr(10) if said else ''}{said}",
                where=where,
            )
        pause.wait(STEP)
