"""A file whose opening waits: what a slow volume does to whoever loads a model from it, held for as long as a test of it lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

#: Seconds after which Linux gives up waiting for whoever holds a lease (`/proc/sys/fs/lease-break-time`, its default).
LONGEST = 45


@contextlib.contextmanager
def held_back(path: Path) -> Iterator[bool]:
    """Whoever opens the file waits until this context ends, at most `LONGEST` seconds; yields whether this system can do that.

    A write lease (fcntl(2), F_SETLEASE): Linux alone has it, for a file of one's own that nobody has open. Also who opens it from
    a container waits, where that runs on the same kernel.
    """
    if sys.platform != "linux":
        yield False
        return
    import fcntl

    file = os.open(path, os.O_RDONLY)
    try:
        # Who opens the file is told of by a signal; the usual one would end this process, and this one is ignored.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError:  # a file system without leases, or somebody has it open
            yield False
        else:
            yield True
    finally:
        os.close(file)  # and the lease ends
