"""Everything llmlab starts is registered here, and ended here.

A process is started through `llmlab/system/keeper.py`, which kills it when its owner goes away. Other things
(cgroups now; containers, clusters, networks later) register an entry with enough to find them again.
Nothing is ever ended by name: only what has an entry, and only if pid *and* start time still match.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from .. import tier
from ..errors import LabError
from .paths import state_dir

KEEPER = Path(__file__).with_name("keeper.py")

#: A variable of the processes that make something for somebody else, who then finds all of it in the registry.
ON_BEHALF = "LLMLAB_ON_BEHALF"

#: A variable of a grader's sandboxes: what was handed in is walled off from the checks, the lab's own servers and what they note.
WALL = "LLMLAB_WALL"

#: How to end a thing that is no process, by kind: the module that knows (`ends` of its tier) adds its own. Takes the entry's data.
ENDERS: dict[str, Callable[[dict[str, Any]], None]] = {}


def _registry() -> Path:
    path = state_dir() / "owned"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _alive(pid: int, start: float) -> bool:
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - start) < 0.05 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _me() -> dict[str, Any]:
    me = psutil.Process()
    return {"pid": me.pid, "start": me.create_time()}


@dataclass(frozen=True, slots=True)
class OwnedEntry:
    """One registered thing, as found in the registry."""

    path: Path
    kind: str  # process | cgroup | ...
    label: str
    data: dict[str, Any] = field(repr=False)

    @property
    def owner_alive(self) -> bool:
        """Whether the process that asked for it is still there."""
        owner = self.data.get("owner")
        return owner is not None and _alive(owner["pid"], owner["start"])

    @property
    def alive(self) -> bool:
        """Whether the thing itself is still there (what is neither process nor folder counts as there).

        Folders are registered before they are made: while their owner lives they may be about to be.
        """
        if "pid" in self.data:
            return _alive(self.data["pid"], self.data["start"])
        return (
            "folders" not in self.data
            or self.owner_alive
            or any(Path(name).exists() for name in self.data["folders"])
        )

    def end(self) -> None:
        """End it if it is still the registered thing, and forget it."""
        homes = {} if self.kind == "process" else tier.all_of("ends")
        if self.kind in homes:  # `llmlab clean` may meet it in a process that never imported what can end it
            importlib.import_module(homes[self.kind])
        if self.kind in ENDERS:
            ENDERS[self.kind](self.data)
        for who in (self.data, self.data.get("keeper") or {}):
            if "pid" in who and _alive(who["pid"], who["start"]):
                with contextlib.suppress(psutil.Error):
                    process = psutil.Process(who["pid"])
                    below = process.children(recursive=True)
                    for member in (process, *below):
                        with contextlib.suppress(psutil.Error):
                            member.kill()
                    psutil.wait_procs([process, *below], timeout=5)
        self.path.unlink(missing_ok=True)


def entries() -> list[OwnedEntry]:
    """All that is registered, oldest first; entries of processes that are gone are dropped on the way."""
    found = []
    for path in sorted(_registry().glob("*.json")):
        try:
            data = json.loads(path.read_text())
            entry = OwnedEntry(path, data["kind"], data["label"], data)
        except (OSError, ValueError, KeyError):
            continue  # just being removed, or not ours
        if entry.alive:
            found.append(entry)
        else:
            path.unlink(missing_ok=True)
    return found


def clean(*, everything: bool = False) -> list[OwnedEntry]:
    """End what has lost its owner; with `everything`, also what a living kernel or shell still owns.

    :raises LabError: when something could not be ended (a daemon is gone): after all else was. Its entry stays.
    """
    ended = [entry for entry in entries() if everything or not entry.owner_alive]
    trouble: LabError | None = None
    # Processes first: a cgroup can only be removed when it is empty.
    for entry in sorted(ended, key=lambda e: "pid" not in e.data):
        try:
            entry.end()
        except LabError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return ended


def register(kind: str, label: str, **data: Any) -> Path:
    """Write an entry for a thing about to be made; returns the file that `forget` takes."""
    path = _registry() / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json"
    temporary = path.with_suffix(".tmp")
    mine = {"on_behalf": os.environ[ON_BEHALF]} if ON_BEHALF in os.environ else {}
    temporary.write_text(json.dumps({"kind": kind, "label": label, "owner": _me(), **mine, **data}))
    temporary.replace(path)
    return path


def register_process(pid: int, label: str) -> Path:
    """Write an entry for a process just started; returns the file that `forget` takes."""
    with contextlib.suppress(psutil.Error):
        return register("process", label, pid=pid, start=psutil.Process(pid).create_time())
    return register("process", label, pid=pid, start=0.0)  # it has ended already


def adopt(entry: OwnedEntry) -> Path:
    """Own what somebody else has registered, who is gone; returns the file that `forget` takes."""
    own = {"owner", "kind", "label", "on_behalf"}
    data = {name: value for name, value in entry.data.items() if name not in own}
    adopted = register(entry.kind, entry.label, **data)
    forget(entry.path)
    return adopted


def forget(entry: Path) -> None:
    """The thing behind `entry` was ended by its owner."""
    entry.unlink(missing_ok=True)


class Process:
    """One owned process: started registered, killed with its owner, exit seen at once.

    :param handed_in: it runs what somebody handed in. In a grader's sandbox it then changes files in these folders alone, and traces and
        signals nobody else (Landlock, as far as the kernel has it); elsewhere nothing is different.
    :raises LabError: when the program cannot be started (missing, not executable).
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        label: str,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        join: Sequence[Path] = (),
        affinity: Sequence[int] = (),
        handed_in: Sequence[Path] | None = None,
    ) -> None:
        self._entry = _registry() / f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.json"
        self._exit: int | None = None
        self._buffer = b""
        self._lock = threading.RLock()  # a panel's thread may stop what a cell waits for
        self._keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        order = {
            "argv": list(argv),
            "env": dict(os.environ if env is None else env),
            "cwd": str(cwd) if cwd else None,
            "log": str(log),
            "join": [str(path) for path in join],
            "affinity": list(affinity),
            "wall": None
            if handed_in is None or WALL not in os.environ
            else [str(path) for path in handed_in],
            "registry": str(self._entry),
            "entry": {"kind": "process", "label": label, "owner": _me(), "argv": list(argv)},
        }
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._out = self._keeper.stdout.fileno()
        self._keeper.stdin.write((json.dumps(order) + "\n").encode())
        first = self._event(timeout=20)
        if first is None or "pid" not in first:
            self._close()
            why = (first or {}).get("error", "its keeper died")
            raise LabError(f"Could not start {label}: {why}.", where=" ".join(argv[:1]))
        self.pid: int = first["pid"]
        self.start: float = first["start"]

    def _event(self, timeout: float) -> dict[str, Any] | None:
        deadline = time.monotonic() + timeout
        while b"\n" not in self._buffer:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._out], [], [], left)[0]:
                return None
            data = os.read(self._out, 65536)
            if not data:
                return {}
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        event: dict[str, Any] = json.loads(line)
        return event

    def wait(self, timeout: float) -> int | None:
        """The exit code (negative: the signal), or None if it still runs after `timeout` seconds."""
        with self._lock:
            if self._exit is None:
                event = self._event(timeout)
                if event is not None:
                    self._exit = event.get("exit", -9)
                    self._close()
            return self._exit

    def poll(self) -> int | None:
        """The exit code, or None while it runs; does not wait."""
        return self.wait(0)

    def signal(self, number: int) -> None:
        """Send a signal to the process itself, if it still runs."""
        if self.poll() is None and _alive(self.pid, self.start):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """End it and all its descendants now."""
        with self._lock:
            if self._exit is None:
                self._exit = -9
                self._close()

    def _close(self) -> None:
        """Let the keeper go: it kills what is left below it, forgets the entry and ends."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        try:
            self._keeper.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        self._keeper.stdout.close()
