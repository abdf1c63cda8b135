"""How a grader speaks with a process of its own that holds a lab's checks, or a learner's cells: JSON, a line each.

The owner writes one order and then only `go` lines; the other side writes events that carry the order's token, so
that nothing else that reaches the same pipe counts. When stdin closes, the other side ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from ..load.turn import Turn

Event = dict[str, Any]

MAX_LINE = 48 << 20  # bytes of one event: a cell with a few large pictures
LAST = ("result", "end")  # events after which nothing more is heard
NOISE = 8192  # bytes of stderr that are kept


@dataclass(frozen=True, slots=True)
class Ended:
    """How a conversation ended: `why` is "end", "wall" (out of time) or "flood" (too much output)."""

    why: str
    code: int
    noise: str  # the end of its stderr


class Talk(Protocol):
    """How a process is given its order and heard: `converse`, or what tells again what one elsewhere has told."""

    def __call__(
        self,
        process: subprocess.Popen[bytes],
        order: Event,
        *,
        on_event: Callable[[Event], None],
        wall: float | None = None,
        turn: Turn | None = None,
    ) -> Ended:
        """As `converse`."""


def converse(
    process: subprocess.Popen[bytes],
    order: Event,
    *,
    on_event: Callable[[Event], None],
    wall: float | None = None,
    turn: Turn | None = None,
    most: int = 256 << 20,
) -> Ended:
    """Give a process its order and hear its events until it ends or time is up; it is gone when this returns.

    :param wall: seconds; waiting for its turn to measure does not count.
    :param most: bytes of events after which it is ended.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    token = secrets.token_hex(16)
    keeper = _Tail(process.stderr)
    heard = _Lines(process.stdout)
    deadline = time.monotonic() + wall if wall is not None else None
    held: float | None = None  # since when it has the turn
    why = "end"
    try:
        _write(process.stdin, order | {"token": token})
        while True:
            now = time.monotonic()
            if deadline is not None and now > deadline:
                why = "wall"
                break
            if held is not None and turn is not None and now > held + turn.longest:
                turn.give_back()
                held = None
            line = heard.next(0.25)
            if line is None:
                if heard.ended:
                    break
                continue
            if heard.total > most or len(line) >= MAX_LINE:
                why = "flood"
                break
            event = _event(line, token)
            if event is None:
                continue
            if event["event"] != "turn":
                on_event(event)
                if event["event"] in LAST:
                    break
            elif event.get("want"):
                if turn is not None and held is None:
                    if not turn.take(lambda: process.poll() is None):
                        break
                    held = time.monotonic()
                    if deadline is not None:
                        deadline += held - now
                _write(process.stdin, None)
            elif held is not None and turn is not None:
                turn.give_back()
                held = None
    finally:
        if held is not None and turn is not None:
            turn.give_back()
        with contextlib.suppress(OSError):
            process.stdin.close()  # the other side ends when it sees this, and its servers with it
        if why != "end":
            process.kill()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        noise = keeper.end()
    return Ended(why, process.returncode, noise)


def _write(pipe: Any, order: Event | None) -> None:
    with contextlib.suppress(OSError):  # it is gone: its end says so
        pipe.write((json.dumps(order) if order else "go").encode() + b"\n")
        pipe.flush()


def _event(line: bytes, token: str) -> Event | None:
    try:
        event = msgspec.json.decode(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.pop("token", None) != token or "event" not in event:
        return None
    return event


class _Lines:
    """Lines of a pipe, with a deadline each, and a count of all that came."""

    def __init__(self, pipe: Any) -> None:
        self._fd = pipe.fileno()
        self._parts: list[bytes] = []
        self._size = 0
        self._ready: list[bytes] = []
        self.total = 0
        self.ended = False

    def next(self, timeout: float) -> bytes | None:
        if self._ready:
            return self._ready.pop(0)
        if self.ended or not select.select([self._fd], [], [], timeout)[0]:
            return None
        data = os.read(self._fd, 1 << 20)
        self.ended = not data
        self.total += len(data)
        first, *rest = data.split(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if rest or self._size >= MAX_LINE:
            self._ready = [b"".join(self._parts), *rest[:-1]]
            self._parts = [rest[-1]] if rest else []
            self._size = len(self._parts[0]) if self._parts else 0
        return self._ready.pop(0) if self._ready else None


class _Tail:
    """The end of a pipe that is read to its end, whatever comes."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._kept = b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self._pipe.fileno(), 65536):
                self._kept = (self._kept + data)[-NOISE:]

    def end(self) -> str:
        self._thread.join(timeout=5)
        self._pipe.close()
        return self._kept.decode(errors="replace").strip()


def unreadable() -> None:
    """Let no other process of the same user read this one's memory and files (`PR_SET_DUMPABLE`; Linux only)."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


class Asked:
    """The other side: takes the order from stdin, keeps stdout for events alone, ends when its owner does."""

    def __init__(self) -> None:
        self.order: Event = json.loads(sys.stdin.buffer.readline())
        self._token = self.order.pop("token")
        # A descriptor of its own, not inherited: what prints goes to stderr and cannot be taken for an event.
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._say_lock = threading.Lock()
        self._go = threading.Event()
        self._depth = 0
        self._pid = os.getpid()
        self.waiting: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while os.read(
            0, 64
        ):  # not through sys.stdin: a thread that waits in there aborts the interpreter's end
            self._go.set()
        os._exit(3)  # the one who asked is gone: nobody will read the verdict

    def emit(self, event: Event) -> None:
        """Tell the owner."""
        if os.getpid() != self._pid:
            return  # a fork of what runs here is not who was asked
        with self._say_lock:
            self._out.write(json.dumps(event | {"token": self._token}).encode() + b"\n")
            self._out.flush()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Measure with nobody else measuring on this machine; may be nested."""
        self._depth += 1
        try:
            if self._depth == 1:
                self._go.clear()
                self.emit({"event": "turn", "want": True})
                with self.waiting():
                    self._go.wait()
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.emit({"event": "turn", "want": False})
