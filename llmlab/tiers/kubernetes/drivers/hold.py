"""A cluster that stays up after the command that asked for it: a process in the background owns it until it is told to stop.

Run as a program it is that process: `python -m llmlab.tiers.kubernetes.drivers.hold ORDER`. It says how far it is on stdout,
a JSON document a line, and gives up when whoever asked goes away before it is ready.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from ....errors import LabError, Unavailable
from ....say import Say, quiet
from ....system import owned
from ....system.paths import replace_file, state_dir
from ....system.waiting import wait
from ..cluster.cluster import Cluster
from . import choose


def _file() -> Path:
    return state_dir() / "cluster.json"


def held() -> dict[str, Any] | None:
    """The handle of the cluster that is up, with the pid of its holder; None when there is none."""
    with contextlib.suppress(OSError, ValueError, KeyError, psutil.Error):
        found: dict[str, Any] = json.loads(_file().read_text())
        holder = psutil.Process(found["pid"])
        if abs(holder.create_time() - found["start"]) < 0.05 and holder.status() != psutil.STATUS_ZOMBIE:
            return found
    return None


def running() -> Cluster | None:
    """The cluster that `llmlab cluster up` left running, to be used and not ended; None when there is none."""
    found = held()
    return choose.attach(found) if found else None


def up(order: dict[str, Any], say: Say = quiet) -> dict[str, Any]:
    """Bring a cluster up and leave it; its handle, with `seconds` and `why`.

    :param order: what `choose.choose` takes.
    :raises LabError: when one is up already, or with what went wrong.
    """
    there = held()
    if there:
        raise LabError(
            f"A {there['driver']} cluster is up already.",
            fix="uv run llmlab cluster status, or: uv run llmlab cluster down",
        )
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "llmlab.tiers.kubernetes.drivers.hold", json.dumps(order)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                event = json.loads(line)
                if "say" in event:
                    say(event["say"])
                elif "error" in event:
                    kind = Unavailable if event.pop("unavailable") else LabError
                    process.wait()
                    raise kind(
                        event["error"], where=event["where"], fix=event["fix"], without=event["without"]
                    )
                elif "ready" in event:
                    process.returncode = 0  # it stays: nobody waits for it
                    return {**event["ready"], "seconds": round(time.monotonic() - began, 1)}
        except BaseException:
            if process.stdin:
                process.stdin.close()  # the holder takes everything down
            process.wait()
            raise
    raise LabError(
        f"The process that holds the cluster ended with code {process.returncode}.", fix="uv run llmlab clean"
    )


def down(say: Say = quiet) -> bool:
    """End the cluster that is up; False when there is none.

    :raises LabError: when it does not end.
    """
    found = held()
    if found is None:
        return False
    say(f"ending the {found['driver']} cluster {found['name']}")
    with contextlib.suppress(ProcessLookupError):
        os.kill(found["pid"], signal.SIGTERM)
    wait(f"process {found['pid']} that holds the cluster", lambda: held() is None, 60)
    return True


def _tell(**event: Any) -> None:
    with contextlib.suppress(OSError):
        os.write(1, (json.dumps(event) + "\n").encode())


class _Stop(BaseException):
    """Somebody wants the cluster to end."""


def main() -> None:
    """Own one cluster until SIGTERM, until it breaks, or until the asking process goes away before it is ready."""
    ready = threading.Event()
    stopped = threading.Event()

    def stop(*_: object) -> None:
        stopped.set()
        raise _Stop

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def listen() -> None:
        os.read(0, 1)  # nothing comes: it ends when the asker does
        if not ready.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=listen, daemon=True).start()
    order = json.loads(sys.argv[1])
    cluster: Cluster | None = None
    try:
        cluster, why = choose.choose(**order)
        _tell(say=f"driver {cluster.driver}: {why}")
        cluster.up(lambda text: _tell(say=text))
        me = psutil.Process()
        handle = {**cluster.handle(), "pid": me.pid, "start": me.create_time()}
        replace_file(_file(), json.dumps(handle).encode())
        ready.set()
        _tell(ready={**handle, "why": why})
        null = os.open(os.devnull, os.O_RDWR)
        for end in (0, 1):  # who asked may go
            os.dup2(null, end)
        while not stopped.wait(2):
            cluster.check()
    except LabError as error:
        unavailable = isinstance(error, Unavailable)
        _tell(
            error=error.what, where=error.where, fix=error.fix, without=error.without, unavailable=unavailable
        )
    except _Stop:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if cluster is not None:
            cluster.down()
        if ready.is_set():
            _file().unlink(missing_ok=True)
        for entry in owned.entries():  # what its end could not end
            if entry.data.get("owner", {}).get("pid") == os.getpid():
                entry.end()


if __name__ == "__main__":
    main()
