"""What runs in a pod: `python -m llmlab.grade.pods.steps notebook`, and when that has ended, as another user, `… checks`.

The first runs the learner's cells and leaves what they told; nothing of it is alive when the second begins, which deploys the files,
makes the verdict, and tells both in its log.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from ...checks.talk import converse, unreadable
from ..cage import cpu_seconds, out_of_memory
from ..named_models import bring_models
from ..view import COURSE, WORK, notebook_variables
from . import handover
from .parcel import LabFiles, Parcel, package, unpack, write_files
from .pod_box import CGROUPS, FILES, IN, PodBox
from .reach import reach

#: How a container ends where trying again would not help, and what that means.
ANOTHER_VERSION, NETWORK_OPEN, UNREADABLE, LACKING = 64, 65, 66, 67
#: How the first one ends when the kernel has killed something in it for want of memory.
OUT_OF_MEMORY = 68


class NotRun(SystemExit):
    """Nothing of a learner's is run here."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code)
        os.write(2, why.encode() + b"\n")


def main() -> None:
    """Do the step that is named."""
    unreadable()  # what a learner's cells or files start runs as the same user
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))
    parcel = _given("parcel", Parcel)
    step = sys.argv[1]
    if step == "notebook" and parcel.package != package():
        raise NotRun(ANOTHER_VERSION, "the image has another version of llmlab than the grader")
    # A policy takes its time to hold a new pod; before the checks it has had it.
    found = reach() if step == "notebook" else reach(0)
    if not found.closed:
        raise NotRun(NETWORK_OPEN, found.line)
    write_files(_given("lab", LabFiles).files, COURSE)
    write_files(parcel.files, FILES)
    if step == "notebook":
        notebook(parcel)
    else:
        from .judging import judge  # the cells need none of it, and wait for their container

        judge(parcel, found)


def notebook(parcel: Parcel) -> None:
    """Run the learner's cells, and leave what they told for the checks, who trust none of it."""
    _require(parcel.needs)
    if not parcel.orders or parcel.memory:
        return
    box = PodBox(parcel.rules.allowance, notebook_variables(parcel.rules.ready))
    bring_models(FILES, parcel.artifacts)
    order = {"files": str(FILES), "work": str(WORK / "files"), "cells": parcel.orders}
    process = box.popen(["-m", "llmlab.grade.inside"])
    with handover.writing() as left:
        ended = converse(process, order, on_event=left.event, wall=parcel.rules.notebook)
        left.end(ended, cpu_seconds=cpu_seconds(CGROUPS))
    if out_of_memory(CGROUPS):
        # The runtime says OOMKilled of this container, whatever its exit code. A kubelet (1.35) starts no second one after that, but
        # counts a pod as failed by the code alone: one that ended with 0 would stay Pending until its deadline.
        raise NotRun(OUT_OF_MEMORY, "the notebook used up its memory")


def _require(needs: Sequence[str]) -> None:
    """What a lab needs beside an engine, which every image of the course has."""
    from ... import doctor

    for name in needs:
        if name != "process" and not (need := doctor.need(name)).met:
            raise NotRun(LACKING, f"{name}: {need.detail}")


def _given(name: str, kind: type[Any]) -> Any:
    try:
        return unpack((IN / name).read_bytes(), kind)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise NotRun(UNREADABLE, f"{name}: {error}") from None


if __name__ == "__main__":
    main()
