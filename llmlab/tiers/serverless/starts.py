"""A start from nothing taken apart on each platform, and a burst from nothing counted on Knative; all of it watched from outside."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

from ...errors import LabError
from ...load.users import Users
from ...system.local_client import local_client
from . import cloud_run

if TYPE_CHECKING:
    from ...records.schema import Cell, Sample
    from ..kubernetes.cluster.cluster import Cluster
    from .cloud_run import RunDoor, RunService

#: Rows of a start: what it was made of. A part begins where the one before it ends.
STARTS = {"platform": "", "try": "", "part": "", "seconds": "s"}
#: In this order: until somebody asks for an instance; until it has a node; until its containers run; until something listens;
#: until the model is loaded; until the first token has come.
PARTS = ("queue", "schedule", "image", "process", "load", "first token")
BURST = {
    "at": "s since the burst",
    "requests_waiting": "for a first token",
    "instances_ready": "",
    "answered": "have a first token",
}
LOOK = 0.05  # seconds between two looks
PATIENCE = 120  # seconds for all replies


def start(cluster: Cluster, service: RunService, door: RunDoor, key: str, number: int) -> list[list[Cell]]:
    """One request where no instance is: rows of `STARTS`, its six parts.

    :param number: of the try.
    :raises LabError: when the reply does not come.
    """
    marks: dict[str, float] = {}
    with _users(door, key, 1) as them:
        pause = threading.Event()
        while not them.samples and them.now < PATIENCE:
            _look(cluster, service, marks, them)
            if them.open:
                them.set(0)
            pause.wait(LOOK)
        (sample,) = first_of(them, 1)
    if not sample.ok or sample.first is None:
        raise LabError(f"The request was not answered: {sample.error}", fix="run.deploy(), run.said()")
    return _parts("Cloud Run (Knative)", number, marks, sample.sent, sample.first)


def started(
    platform: str, number: int, port: int, key: str, look: Callable[[], tuple[dict[str, bool], str | None]]
) -> list[list[Cell]]:
    """The same where a platform starts containers and holds no request: one is sent as soon as `/health` says 200.

    :param port: where it is asked.
    :param look: which parts are over by now, and the address once it has one; called until the model is loaded. Its first call starts it.
    :raises LabError: when it is not ready in time, or the reply does not come.
    """
    marks: dict[str, float] = {}
    pause, began = threading.Event(), time.perf_counter()

    def now() -> float:
        return time.perf_counter() - began

    while "load" not in marks:
        over, address = look()
        for part in over:
            marks.setdefault(part, now())
        if address:
            _listens(address, port, marks, now)
        if now() > PATIENCE:
            raise LabError(f"No model was loaded within {PATIENCE} s.")
        pause.wait(LOOK)
    with Users(f"http://{address}:{port}", 1, tokens=64, timeout=PATIENCE, api_key=key) as them:
        asked = now() - them.now
        while not them.open and not them.samples:
            pause.wait(0.01)
        (sample,) = first_of(them, 1)
    if not sample.ok or sample.first is None:
        raise LabError(f"The request was not answered: {sample.error}")
    return _parts(platform, number, marks, 0.0, asked + sample.first)


def _parts(
    platform: str, number: int, marks: dict[str, float], sent: float, first: float
) -> list[list[Cell]]:
    """From moments to parts: what was over before it could be seen took no time."""
    rows: list[list[Cell]] = []
    before = sent
    for part in PARTS:
        at = min(max(first if part == "first token" else marks.get(part, before), before), first)
        rows.append([platform, number, part, at - before])
        before = at
    return rows


def _look(cluster: Cluster, service: RunService, marks: dict[str, float], them: Users) -> None:
    found = cloud_run.instances(cluster, service)
    if not found:
        return
    pod, now = found[-1], them.now
    marks.setdefault("queue", now)
    if pod.spec.node_name:
        marks.setdefault("schedule", now)
    states = [status.state for status in pod.status.container_statuses or ()]
    if states and all(state.running for state in states):
        marks.setdefault("image", now)
    if pod.status.pod_ip and "load" not in marks:
        _listens(pod.status.pod_ip, service.port, marks, lambda: them.now)


def _listens(address: str, port: int, marks: dict[str, float], now: Callable[[], float]) -> None:
    with suppress(OSError):
        socket.create_connection((address, port), timeout=0.2).close()
        marks.setdefault("process", now())
    if "process" in marks:
        with suppress(httpx.HTTPError), local_client(timeout=0.5) as client:
            if client.get(f"http://{address}:{port}/health").status_code == 200:
                marks.setdefault("load", now())


def burst(cluster: Cluster, service: RunService, door: RunDoor, key: str, count: int) -> list[list[Cell]]:
    """So many streams at the same moment where no instance is: rows of `BURST`, one a look.

    :raises LabError: when the replies do not come.
    """
    looks: list[tuple[float, int]] = []  # when, and how many instances were ready
    with _users(door, key, count) as them:
        pause = threading.Event()
        while len(them.samples) < count and them.now < PATIENCE:
            if them.open + len(them.samples) >= count:
                them.set(0)
            ready: list[Any] = cloud_run.instances(cluster, service, only_ready=True)
            looks.append((them.now, len(ready)))
            pause.wait(LOOK)
        samples = first_of(them, count)
    firsts = [sample.first for sample in samples if sample.ok and sample.first is not None]
    rows: list[list[Cell]] = []
    for at, instances in looks:
        answered = sum(first <= at for first in firsts)
        rows.append([at, len(samples) - answered, instances, answered])
    return rows


def first_of(them: Users, count: int) -> list[Sample]:
    """The first so many requests of users who stop now: who was answered at once may have asked again before that.

    :raises LabError: when their replies do not come.
    """
    return [sample for sample in them.stop(PATIENCE) if sample.n < count]


def _users(door: RunDoor, key: str, count: int) -> Users:
    return Users(door.base, count, tokens=64, timeout=PATIENCE, host=door.host, api_key=key)
