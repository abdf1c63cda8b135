"""`python -m llmlab.engine.host`: the wheel's llama.cpp server as a process, behind llama-server's own flags.

xllamacpp holds llama.cpp's C++ HTTP server but neither its command line nor its signal handling; this adds
both, so that whoever starts a server need not know which engine it is. Nothing is printed that llama-server
would not print, and a start that fails ends with one readable line and exit code 1.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any

from . import effects, settings
from .hosted import rows

_STOP = (signal.SIGTERM, signal.SIGINT)
LIBGOMP = (
    "error: the wheel's engine needs the system library libgomp.so.1: "
    "sudo apt-get install -y libgomp1 (dnf install libgomp; conda install libgomp)"
)


def main(argv: list[str]) -> int:
    """Serve until told to stop; the exit code. 1 for any failure to start, 0 after an orderly stop."""
    try:
        given = settings.parse(argv, os.environ)
    except settings.InvalidSettings as refused:
        return _fail(str(refused))
    except settings.Exit as asked:
        return _answer(str(asked))
    module = _engine()
    params = module.CommonParams()
    try:
        settings.apply(given, params, module)
    except settings.InvalidSettings as refused:
        return _fail(str(refused))
    refusal = _refusal(params)
    return _fail(refusal) if refusal else _serve(module, params)


def _answer(asked: str) -> int:
    if asked == "help":
        head = "----- params of llama-server that the wheel's engine takes -----\n"
        return _write([head, *(row.text() for row in rows())])
    module = _engine()
    if asked == "version":
        return _write([f"version: xllamacpp {module.__version__}"])
    lines = ["Available devices:"]
    for device in effects.devices(module):
        total, free = (int(device[key]) // 2**20 for key in ("memory_total", "memory_free"))
        lines.append(f"  {device['name']}: {device['description']} ({total} MiB, {free} MiB free)")
    return _write(lines if len(lines) > 1 else [*lines, "  (none)"])


def _write(lines: list[str]) -> int:
    with suppress(BrokenPipeError):  # | head
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
    return 0


def _engine() -> ModuleType:
    try:
        import xllamacpp
    except ImportError as error:
        text = str(error)
        os._exit(_fail(LIBGOMP if "libgomp" in text else f"error: xllamacpp: {text}"))
    return xllamacpp  # type: ignore[no-any-return]


def _serve(module: ModuleType, params: Any) -> int:
    # While the model loads, the binary has no handlers yet and a signal ends it at once; so does this.
    # xllamacpp's constructor holds the GIL until then, so a Python handler could not run anyway.
    for number in _STOP:
        signal.signal(number, signal.SIG_DFL)
    try:
        server = module.Server(params)
    except Exception as error:
        text = str(error)
        if not text.startswith("Failed to init server"):
            return _fail(f"error: {text}")
        sys.exit(1)  # the log's last E lines say why; an orderly exit lets its thread write them out
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    for number in _STOP:
        signal.signal(number, _signalled)
    at_once = _exit_handler()
    os.read(read, 1)  # C++ threads serve; this one only waits for the first signal
    signal.set_wakeup_fd(-1)
    at_once()
    # The destructor stops generating and waits for the requests in flight, as the binary does after one
    # SIGTERM. It holds the GIL meanwhile.
    del server
    return 0


_stopping = False


def _signalled(_number: int, _frame: object) -> None:
    global _stopping
    if _stopping:
        os._exit(1)
    _stopping = True


def _exit_handler() -> Callable[[], None]:
    """A function that makes the next SIGTERM or SIGINT end the process at once, whoever holds the GIL.

    A Python handler would wait for the GIL, so the handler is libc's own `exit`, and the first of its exit
    functions is `_exit(1)`: the binary's exit code after a second signal. Where libc has no such thing, the
    signal's default ends the process as fast.
    """

    def default() -> None:
        for number in _STOP:
            signal.signal(number, signal.SIG_DFL)

    if os.name != "posix":
        return default
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        at_exit, handle = libc.__cxa_atexit, libc.signal
        leave, leave_now = (ctypes.cast(f, ctypes.c_void_p) for f in (libc.exit, libc._exit))
    except (OSError, AttributeError):
        return default
    at_exit.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    handle.argtypes, handle.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p

    def at_once() -> None:
        at_exit(leave_now, ctypes.c_void_p(1), None)
        for number in _STOP:
            handle(number, leave)

    return at_once


def _refusal(params: Any) -> str | None:
    """Why this cannot start, where that is plain beforehand; None when it may.

    Beforehand, because llama.cpp's logger writes from a thread of its own: a line of ours after a failure
    could land among its lines.
    """
    path = str(params.model.path)
    try:
        with open(path, "rb") as file:
            if file.read(4) != b"GGUF":
                return f"error: this is not a GGUF model file: {path}"
    except OSError as error:
        return f"error: the model file cannot be opened: {path}: {error.strerror}"
    host = str(params.hostnames[0])
    if params.port and not params.reuse_port and not host.endswith(".sock"):
        with suppress(socket.gaierror), socket.socket(_family(host)) as probe:
            # as cpp-httplib binds; a socket still in TIME_WAIT is no obstacle
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, params.port))
            except OSError as error:
                return f"error: cannot listen on {host}:{params.port}: {error.strerror}"
    return None


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _fail(line: str) -> int:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
    return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    # not sys.exit: nothing of Python's is worth tearing down, and after a second signal `exit` means 1
    os._exit(code)
