"""Where there is no bubblewrap: runs one program, and kills all that descends from it when it ends or the leash breaks.

`python -m llmlab.grade.warden LEASH_FD ADDRESS_SPACE FILE_SIZE -- program …`, sizes in bytes, 0 for no limit. On Linux it is a
subreaper: what the program detached (double fork, a session of its own) comes back to it and is killed too. macOS has no such thing.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys

from ..system.keeper import PR_SET_CHILD_SUBREAPER, kill_all_below, prctl

#: Open files of one process: a proxy with `maxconn 4096` wants twice as many, and does not start with fewer.
OPEN_FILES = 16384


def main() -> None:
    """Start it, wait for it or for the owner to let go, kill what is left."""
    leash, space, size = (int(word) for word in sys.argv[1:4])
    program = sys.argv[5:]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_out, wake_in = os.pipe()
    os.set_blocking(wake_in, False)
    os.set_blocking(wake_out, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    pid = os.fork()
    if pid == 0:
        os.close(leash)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        limits = {resource.RLIMIT_AS: space, resource.RLIMIT_FSIZE: size, resource.RLIMIT_NOFILE: OPEN_FILES}
        for what, limit in limits.items():
            if limit:
                with contextlib.suppress(OSError, ValueError):  # macOS knows no limit on address space
                    resource.setrlimit(what, (limit, limit))
        os.execvp(program[0], program)
    for fd in (0, 1, 2):  # the pipes are the program's; they must end when it does
        os.close(fd)
    code = 255
    while True:
        done, status = os.waitpid(-1, os.WNOHANG)
        if done == pid:
            code = os.waitstatus_to_exitcode(status)
            break
        if done:
            continue
        ready, _, _ = select.select([leash, wake_out], [], [])
        if leash in ready or ended:
            break
        with contextlib.suppress(BlockingIOError):
            os.read(wake_out, 4096)
    kill_all_below()
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
