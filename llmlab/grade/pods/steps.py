"""What runs in a pod: `python -m llmlab.grade.pods.steps notebook`, and when that has ended, as another user, `… checks`.

The first runs the learner's cells and leaves what they told; nothing of it is alive when the second begins, which deploys the files,
makes the verdict, and tells both in its log.
"""

from __future__ import annotations

import functools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ... import checks, doctor
from ...checks.talk import Ended, Event, converse, unreadable
from ...load.turn import Turn
from ...system.paths import cached
from ..answers import answers_of
from ..cage import Allowance, cpu_seconds, out_of_memory
from ..here import bring_models
from ..notebook import Telling
from ..one import notebook_variables, problems_of
from ..sandbox import COURSE, own_environment, walled
from ..view import WORK
from . import handover
from .parcel import LabFiles, Parcel, Sealed, package, unpack, write_files
from .reach import reach
from .transcript import LogWriter

IN = Path("/in")  # what the pod was given
FILES = Path("/tmp/handed-in")
#: Its own cgroup, with v2 or v1.
CGROUPS = [Path("/sys/fs/cgroup", part) for part in ("", "memory", "cpuacct", "cpu,cpuacct")]
OPEN_FILES = 4096  # of one process

#: How a container ends where trying again would not help, and what that means.
ANOTHER_VERSION, NETWORK_OPEN, UNREADABLE, LACKING = 64, 65, 66, 67


class NotRun(SystemExit):
    """Nothing of a learner's is run here."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code)
        os.write(2, why.encode() + b"\n")


class PodBox:
    """A container as the box of one step: limits are its own, and all of it ends with it."""

    def __init__(self, allowance: Allowance, env: Mapping[str, str]) -> None:
        self._env = own_environment(WORK, COURSE, tmp=Path("/tmp")) | dict(env)
        # What the image has of engines, models and programs; what is made here lies in the scratch folder.
        self._env["LLMLAB_SHARED_CACHE"] = os.environ.get("LLMLAB_SHARED_CACHE", "")
        for what, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
            (resource.RLIMIT_FSIZE, allowance.disk),
            (resource.RLIMIT_NPROC, allowance.processes),
        ):
            with suppress(OSError, ValueError):
                resource.setrlimit(what, (limit, limit))
        fonts = cached("sandbox/matplotlib")
        for path in fonts.glob("fontlist-*.json") if fonts else ():
            (WORK / ".matplotlib").mkdir(exist_ok=True)
            (WORK / ".matplotlib" / path.name).write_bytes(path.read_bytes())

    def popen(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `python ARGUMENTS` in it, with three pipes."""
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
            cwd=cwd or WORK,
            start_new_session=True,
        )


def main() -> None:
    """Do the step that is named."""
    unreadable()  # what a learner's cells or files start runs as the same user
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    parcel = _given("parcel", Parcel)
    if parcel.package != package():
        raise NotRun(ANOTHER_VERSION, "the image has another version of llmlab than the grader")
    write_files(_given("lab", LabFiles).files, COURSE)
    write_files(parcel.files, FILES)
    steps: dict[str, Callable[[Parcel], None]] = {"notebook": notebook, "checks": judge}
    steps[sys.argv[1]](parcel)


def notebook(parcel: Parcel) -> None:
    """Run the learner's cells, and leave what they told for the checks, who trust none of it."""
    found = reach()
    if not found.closed:
        raise NotRun(NETWORK_OPEN, found.line)
    lacking = [name for name in parcel.needs if not doctor.need(name).met]
    if lacking:
        raise NotRun(LACKING, f"the image lacks {', '.join(lacking)}: {doctor.need(lacking[0]).detail}")
    if not parcel.orders or parcel.memory:
        return
    box = PodBox(parcel.rules.allowance, notebook_variables(parcel.rules))
    bring_models(FILES, parcel.artifacts)
    order = {"files": str(FILES), "work": str(WORK / "files"), "cells": parcel.orders}
    process = box.popen(["-m", "llmlab.grade.inside"])
    with handover.writing() as left:
        ended = converse(process, order, on_event=left.event, wall=parcel.rules.notebook)
        left.end(ended, memory=out_of_memory(CGROUPS), cpu_seconds=cpu_seconds(CGROUPS))


def judge(parcel: Parcel) -> None:
    """Deploy and check what was handed in, and tell that and what the cells told."""
    began, busy = time.monotonic(), _busy()
    seals = msgspec.json.decode((IN / "sealed").read_bytes(), type=Sealed)
    log = LogWriter(os.fdopen(os.dup(1), "wb"), seals.token)
    found = reach(0)
    left = handover.Left(memory=True) if parcel.memory else handover.read()
    telling = Telling(cell["id"] for cell in parcel.orders)
    for event in left.events:
        telling.hear(dict(event))
    ran = telling.how_it_went(left.ended, memory=left.memory, wall=parcel.rules.notebook)
    log.tell(
        {"part": "parcel", "fingerprint": parcel.fingerprint, "cells": [cell["id"] for cell in parcel.orders]}
    )
    for event in handover.bounded(left.events):
        log.tell({"part": "cell", "event": event})
    log.tell({"part": "notebook", "ended": _told(left.ended), "memory": left.memory, "cpu": left.cpu_seconds})
    answers, _ = answers_of(parcel.cells, ran, telling.answers)
    bring_models(FILES, parcel.artifacts)
    box = PodBox(parcel.rules.allowance, {})
    checks.run(
        COURSE / "labs" / parcel.lab,
        FILES,
        artifacts=parcel.artifacts,
        answers=answers,
        seed=seals.seed,
        problems=problems_of(parcel.missing),
        spawn=box.popen,
        talk=functools.partial(_telling, log),
        wall=parcel.rules.checks,
        ready=parcel.rules.ready,
    )
    log.tell(
        {
            "part": "pod",
            "memory": out_of_memory(CGROUPS),
            "cpu": cpu_seconds(CGROUPS),
            "seconds": round(time.monotonic() - began, 3),
            "busy": _busy() - busy,
            "holds": f"{found.line}; {walled()}",
        }
    )
    log.end()


def _telling(
    log: LogWriter,
    process: subprocess.Popen[bytes],
    order: Event,
    *,
    on_event: Callable[[Event], None],
    wall: float | None = None,
    turn: Turn | None = None,
) -> Ended:
    """As `converse`, and every event goes into the log."""

    def both(event: Event) -> None:
        log.tell({"part": "check", "event": event})
        on_event(event)

    ended = converse(process, order, on_event=both, wall=wall, turn=turn)
    log.tell({"part": "checks", "ended": _told(ended)})
    return ended


def _told(ended: Ended) -> dict[str, Any]:
    return {"why": ended.why, "code": ended.code, "noise": ended.noise}


def _given(name: str, kind: type[Any]) -> Any:
    try:
        return unpack((IN / name).read_bytes(), kind)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise NotRun(UNREADABLE, f"{name}: {error}") from None


def _busy() -> float:
    """CPU seconds that this node has worked."""
    import psutil

    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


if __name__ == "__main__":
    main()
