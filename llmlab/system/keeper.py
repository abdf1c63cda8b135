"""The small process between llmlab and what it starts; run as a script (a grader's warden borrows two of its functions).

It exists so that nothing outlives its owner: whoever started it holds the other end of stdin, and when
that closes, however the owner died (kill -9 of a Jupyter kernel included), everything below this process
is killed. PR_SET_PDEATHSIG alone would not do: it follows the *thread* that forked, and macOS has none.

Protocol, one JSON document a line. stdin: the order (argv, env, cwd, log, entry, ...), then nothing until
the owner goes away. stdout: {"pid", "start"} once the program runs or {"error"}, then {"exit"} when it ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import sys
from typing import Any

import psutil

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def prctl(option: int, value: int) -> None:
    """`prctl(2)` on Linux, nothing elsewhere."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


# -- Landlock: what a deployment of somebody else's may do to whatever else runs beside it (landlock(7); the numbers are the kernel's).

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on every architecture
VERSION, PATH_BENEATH, NO_NEW_PRIVS = 1, 1, 38
WRITE_FILE = 1 << 1
#: Accesses that change files: write, remove, make; refer since ABI 2, truncate since 3. Devices keep their ioctl (GPUs).
CHANGES = (1, 0x1FF2), (2, 1 << 13), (3, 1 << 14)
SCOPES = 0b11  # since ABI 6 (Linux 6.12): no signal and no abstract socket to a process outside


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def landlock() -> int:
    """The ABI of Landlock here; 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    abi: int = ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    return max(0, abi)


def wall(folders: list[str]) -> None:
    """From here on, and for all that descends from here: write in these folders and to devices alone, trace nobody, and where the kernel
    knows how, signal nobody outside.

    :raises OSError: when the kernel refuses.
    """
    abi = landlock()
    if not abi:
        return
    calls = ctypes.CDLL(None, use_errno=True)

    def call(*words: Any) -> int:
        got: int = calls.syscall(*words)
        if got < 0:
            raise OSError(ctypes.get_errno(), "Landlock: " + os.strerror(ctypes.get_errno()))
        return got

    changes = sum(bits for since, bits in CHANGES if since <= abi)
    rules = _Ruleset(changes, 0, SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8  # as large as that kernel's own
    handle = call(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    for folder, allowed in (
        ("/dev", WRITE_FILE | (changes & (1 << 14))),
        ("/dev/shm", changes),
        *((name, changes) for name in folders),
    ):
        try:
            parent = os.open(folder, os.O_PATH | os.O_CLOEXEC)  # type: ignore[attr-defined,unused-ignore]
        except FileNotFoundError:
            continue
        call(ADD_RULE, handle, PATH_BENEATH, ctypes.byref(_Beneath(allowed, parent)), 0)
        os.close(parent)
    prctl(NO_NEW_PRIVS, 1)
    call(RESTRICT_SELF, handle, 0)
    os.close(handle)


# -- Namespaces: what a deployment cannot name it cannot stop (pid_namespaces(7), user_namespaces(7)).

NEW_PROCESSES, NEW_USERS = 0x20000000, 0x10000000


def apart() -> bool:
    """From here on, children of this process have a list of processes of their own: they can signal each other, and nobody else.

    Tried in a child first, for half done would be worse than not: without a map of users there is no file that they may write. So it is
    where a system lets users have namespaces and no right in them, or root is to be mapped without CAP_SETFCAP (since Linux 5.12),
    which nobody has in a sandbox.

    False: this system does not allow it, or has no such thing; then nothing is different.
    """
    if not sys.platform.startswith("linux"):
        return False
    trial = os.fork()
    if trial == 0:
        os._exit(0 if _separate() else 1)
    return os.waitpid(trial, 0)[1] == 0 and _separate()


def _separate() -> bool:
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None).unshare(NEW_USERS | NEW_PROCESSES):
        return False
    try:
        for name, line in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    except OSError:
        return False
    return True


def _say(**event: Any) -> None:
    # An owner that is gone does not read; the kill that follows matters more than the message.
    with contextlib.suppress(BrokenPipeError):
        os.write(1, (json.dumps(event) + "\n").encode())


def _child(order: dict[str, Any], gate: int, status: int) -> None:
    """In the fork: take its place (session, cgroups, CPUs), wait for the gate, become the program."""
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for procs in order["join"]:
            with open(procs, "w") as file:
                file.write(str(os.getpid()))
        if order["affinity"]:
            os.sched_setaffinity(0, order["affinity"])  # type: ignore[attr-defined,unused-ignore]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if order["cwd"]:
            os.chdir(order["cwd"])
        if not os.read(gate, 1):  # the keeper died before it had registered us
            os._exit(1)
        if order["wall"] is not None:
            wall(order["wall"])
        os.execvpe(order["argv"][0], order["argv"], order["env"])
    except OSError as error:
        os.write(status, f"{order['argv'][0]}: {error.strerror}".encode())
    os._exit(127)


def _register(order: dict[str, Any], pid: int, start: float) -> None:
    me = psutil.Process()
    entry = order["entry"] | {
        "pid": pid,
        "start": start,
        "keeper": {"pid": me.pid, "start": me.create_time()},
    }
    temporary = order["registry"] + ".tmp"
    with open(temporary, "w") as file:
        json.dump(entry, file)
    os.replace(temporary, order["registry"])


def kill_all_below() -> None:
    """Everything that descends from this process, strays in sessions of their own included."""
    for _ in range(3):  # a fork may slip in between the listing and the kill
        below = psutil.Process().children(recursive=True)
        if not below:
            return
        for process in below:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(below, timeout=2)


def main() -> None:
    """Start one program, register it, and see that it ends."""
    os.setsid()  # a Ctrl-C in the owner's terminal is the owner's business
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: None)  # only the owner's going away ends us
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_out, wake_in = os.pipe2(os.O_NONBLOCK) if hasattr(os, "pipe2") else os.pipe()
    os.set_blocking(wake_in, False)
    signal.set_wakeup_fd(wake_in)
    signal.signal(signal.SIGCHLD, lambda *_: None)

    order = json.loads(sys.stdin.buffer.readline())
    gate_out, gate_in = os.pipe()
    status_out, status_in = os.pipe()
    if order["wall"] is not None:
        apart()
    pid = os.fork()
    if pid == 0:
        os.close(gate_in)
        os.close(status_out)
        _child(order, gate_out, status_in)
    os.close(status_in)
    try:
        start = psutil.Process(pid).create_time()
        _register(order, pid, start)
    except OSError as error:
        os.kill(pid, signal.SIGKILL)
        _say(error=f"{order['registry']}: {error.strerror}")
        return
    os.write(gate_in, b"g")
    abandoned = False  # the owner let go while it ran: then nobody will read its cgroups any more
    failure = os.read(status_out, 500)  # empty: the exec closed it
    if failure:
        os.waitpid(pid, 0)
        _say(error=failure.decode())
    else:
        _say(pid=pid, start=start)
        while True:
            done, code = os.waitpid(pid, os.WNOHANG)
            if done:
                _say(exit=os.waitstatus_to_exitcode(code))
                break
            ready, _, _ = select.select([0, wake_out], [], [], 60)
            if 0 in ready and not os.read(0, 4096):
                abandoned = True
                break
            if wake_out in ready:
                os.read(wake_out, 4096)
    kill_all_below()
    if abandoned:
        for procs in order["join"]:
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(procs))
    with contextlib.suppress(OSError):
        os.unlink(order["registry"])


if __name__ == "__main__":
    main()
