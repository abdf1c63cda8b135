"""The second step of a pod: deploy what was handed in, make the verdict, and tell it with what the cells told."""

from __future__ import annotations

import functools
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ... import checks
from ...checks.talk import Ended, Event, converse
from ...load.turn import Turn
from ..answers import answers_of
from ..cage import busy_seconds, cpu_seconds, out_of_memory
from ..named_models import bring_models
from ..telling import Telling
from ..view import COURSE, walled
from . import handover
from .parcel import Parcel, Sealed
from .pod_box import CGROUPS, FILES, IN, PodBox
from .reach import PodReach
from .transcript import LogWriter


def judge(parcel: Parcel, found: PodReach) -> None:
    """Deploy and check what was handed in, and tell that and what the cells told.

    :param found: what the pod reaches.
    """
    began, busy = time.monotonic(), busy_seconds()
    seals = msgspec.json.decode((IN / "sealed").read_bytes(), type=Sealed)
    log = LogWriter(os.fdopen(os.dup(1), "wb"), seals.token)
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
        problems=[f"{name} {why}" for name, why in parcel.missing.items()],
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
            "busy": busy_seconds() - busy,
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
