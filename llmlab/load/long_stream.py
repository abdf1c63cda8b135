"""A stream that takes long without a long computation: its server goes on in short bursts, and it is read to its end."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager


@contextlib.contextmanager
def bursts(
    stop: Callable[[], None], go: Callable[[], None], *, going: float = 0.05, stopped: float = 0.35
) -> Iterator[None]:
    """Stop a server and let it go on, in turn, while the context lasts; afterwards it goes on. Times in seconds."""
    over = threading.Event()

    def turns() -> None:
        while not over.wait(going):
            try:
                stop()
                over.wait(stopped)
            finally:
                go()

    thread = threading.Thread(target=turns, name="bursts")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_whole(pieces: Iterator[bytes], halting: AbstractContextManager[None], seconds: float) -> bool:
    """Read a streamed reply to its end, for so many seconds from a server in bursts: whether it ended as one does that is whole."""
    last, until = b"", time.monotonic() + seconds
    with halting:
        for piece in pieces:
            last = (last + piece)[-400:]
            if time.monotonic() > until:
                break
    for piece in pieces:
        last = (last + piece)[-400:]
    return b"[DONE]" in last
