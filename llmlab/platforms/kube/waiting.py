"""Waiting for what a cluster does in its own time: on a condition, with a deadline and a name for what was awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from ...errors import LabError

T = TypeVar("T")
STEP = 0.1  # seconds between two looks


def wait(
    what: str,
    condition: Callable[[], T | None],
    within: float,
    *,
    trouble: Callable[[], Sequence[str]] | None = None,
) -> T:
    """What `condition` gives as soon as it is true.

    :param within: seconds.
    :param trouble: what else to say when it does not come to be.
    :raises LabError: at the deadline, with what `trouble` says.
    """
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            said = "\n".join(trouble()) if trouble else ""
            raise LabError(
                f"Waited {within:.0f} s for {what}, and it did not come.{chr(10) if said else ''}{said}"
            )
        pause.wait(STEP)
