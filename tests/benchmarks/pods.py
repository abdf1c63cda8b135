"""Grading in the pods of a cluster beside this machine: real batches, and simulated ones of many pods (`grading --on kubernetes`).

The batches are the trivial lab of `grading`, whole commands from exec to exit. The simulated cluster's API server, scheduler and controllers
are real and KWOK ends its pods by stages; the only thing on paper is what a pod's log says, which is signed here for each.
"""

from __future__ import annotations

import io
import json
import resource
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml

from llmlab.checks.talk import Ended
from llmlab.course.info import LabInfo, read_info
from llmlab.grade import sandbox
from llmlab.grade.batch import Settings
from llmlab.grade.cage import busy_seconds
from llmlab.grade.one import grade_one
from llmlab.grade.opened import Opened, opened
from llmlab.grade.pods import grading as pods
from llmlab.grade.pods import job as job_
from llmlab.grade.pods import manifest, room
from llmlab.grade.pods.access import Access, ApiRefusal, image_at, open_access
from llmlab.grade.pods.told import Told
from llmlab.grade.pods.transcript import LogWriter
from llmlab.grade.pods.watch import PodWatch, WatchedPod
from llmlab.grade.rules import Rules, read_rules
from llmlab.records.stats import Spread
from llmlab.submissions.handed_in import Submission
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.drivers import hold
from llmlab.tiers.kubernetes.drivers import simulated as simulated_
from llmlab.tiers.kubernetes.drivers.simulated import Simulated

from .grading import LIMIT, Llmlab, measure
from .whole import Broken

MANY = 20  # submissions of a real batch
POD_NODES = 10  # of a simulated cluster, 110 pods each
#: Requests a second of that cluster's controllers and scheduler. By default the controllers make 20, and a Job's pod takes two of
#: them (it is made, and its finalizer taken away): 0.1 s a pod, whatever a grader does.
CONTROLLERS_QPS = 200


class InPods(Llmlab):
    """The same lab and submissions, in the cluster that `llmlab cluster up` holds."""

    def __init__(self, home: Path, context: str, image: str, parallelism: int) -> None:
        super().__init__(home)
        self.name = f"pods, {parallelism} at once"
        self.more = ["--on", "kubernetes", "--context", context, "--image", image]
        self.more += ["--parallelism", str(parallelism)]

    def lay(self, folder: Path, names: Sequence[str], jobs: int) -> list[list[str]]:
        ((line,),) = super().lay(folder, names, jobs)
        return [[f"{line} {shlex.join(self.more)}"]]


def in_pods(rounds: int, context: str, image: str, many: int = MANY, parallelism: int = 2) -> list[str]:
    """The lines to print: batches in pods beside `--jobs`, in turn, and beside pods of the same shape that do nothing."""
    cluster = hold.running()
    if cluster is None:
        return ["grading in pods: no cluster is up, so not measured (llmlab cluster up)"]
    lines = [
        f"grading {many} trivial submissions, --jobs {parallelism} beside pods, {rounds} rounds; {cluster.driver} cluster, image cached"
    ]
    with (
        tempfile.TemporaryDirectory(prefix="llmlab-pods-") as text,
        closing(open_access(context, None)) as access,
    ):
        here = Llmlab(Path(text) / "here")
        rules = read_rules(here.lab)
        shape = manifest.PodShape(
            image=image_at(access, image),
            parallelism=parallelism,
            alone=False,
            runtime=room.runtime(access, ""),
        )
        runs: dict[str, Callable[[int], float]] = {
            f"--jobs {parallelism}": lambda submissions: measure(here, submissions, parallelism)[0]
        }
        for at_once in (parallelism, 2 * parallelism):
            tool = InPods(Path(text) / f"pods-{at_once}", context, image, at_once)
            runs[tool.name] = lambda submissions, tool=tool: measure(tool, submissions, parallelism)[0]
        for at_once in (parallelism, 2 * parallelism):
            like = replace(shape, parallelism=at_once)
            name = f"pods that do nothing, {at_once} at once"
            runs[name] = lambda submissions, like=like: _idle(access, rules, like, submissions)
        spent: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        for turn in range(-1, rounds):
            for name in list(runs)[:: 1 if turn % 2 else -1]:
                busy = busy_seconds()
                wall = runs[name](many if turn >= 0 else 2)
                if turn >= 0:  # before, caches and the image
                    spent[name].append((wall, busy_seconds() - busy))
                _gone(access)  # else the next one waits for it
    near = [wall for wall, _ in next(iter(spent.values()))]
    for name, found in spent.items():
        walls = [wall for wall, _ in found]
        ratio = Spread.of(wall / here for wall, here in zip(walls, near, strict=True))
        lines.append(
            f"  {name:34} {Spread.of(walls)} s, {Spread.of(wall / many for wall in walls)} a submission, "
            f"{Spread.of(busy / many for _, busy in found)} CPU-s of the machine; {ratio} times --jobs {parallelism}"
        )
    return lines


def _idle(access: Access, rules: Rules, shape: manifest.PodShape, many: int) -> float:
    """Seconds for that many pods of the same shape whose containers end at once: what the cluster itself costs."""
    plain = manifest.job

    def idle(*given: Any, **named: Any) -> dict[str, Any]:
        job = plain(*given, **named)
        spec = job["spec"]["template"]["spec"]
        for container in (*spec["initContainers"], *spec["containers"]):
            container["command"] = ["/bin/true"]
        return job

    began = time.perf_counter()
    room.enter(access, named=False)
    job = job_.GradingJob(access, f"idle-{time.time_ns()}", shape.image)
    manifest.job = idle
    try:
        job.make(rules, shape, lab=b"-", parcels=[b"-"] * many, seals=[b"-"] * many)
    finally:
        manifest.job = plain
    try:
        watch, over = PodWatch(access, job.name), set()
        while len(over) < many:
            for pod in watch.changes():
                over |= {pod.index} if pod.over else set()
                if len(over) == many:
                    break
            if time.perf_counter() - began > LIMIT:
                raise Broken(f"{len(over)} of {many} pods that do nothing have ended")
        return time.perf_counter() - began
    finally:
        job.end()
        room.leave(access)


def _gone(access: Access) -> float:
    """Wait until the namespace of an earlier batch is gone; the seconds."""
    began = time.perf_counter()

    def gone() -> bool:
        try:
            access.ask("GET", f"/api/v1/namespaces/{access.namespace}")
        except ApiRefusal as error:
            return error.status == 404
        return False

    wait(f"the namespace {access.namespace} to be gone", gone, LIMIT)
    return time.perf_counter() - began


class _Signing(job_.GradingJob):
    """As in a real cluster, but what a pod's log says comes from here: KWOK's pods say nothing."""

    said: ClassVar[list[dict[str, Any]]] = []
    fingerprints: ClassVar[dict[str, str]] = {}

    def _log(self, pod: WatchedPod, token: str) -> Told | None:
        super()._log(pod, token)  # the request is made, and answered with a refusal
        out = io.BytesIO()
        writer = LogWriter(out, token)
        for part in self.said:
            mark = {"fingerprint": self.fingerprints[token]} if part["part"] == "parcel" else {}
            writer.tell(part | mark)
        writer.end()
        return Told.read(out.getvalue().splitlines(), token)


class _ScaledGrading(pods.PodGrading):
    def _hear(self, job: Any, batch: pods.Round, waiting: Any, heard: Any) -> None:
        tokens = (pods.packing.token(self.secret, mark, batch.name) for mark in batch.fingerprints)
        _Signing.fingerprints = dict(zip(tokens, batch.fingerprints, strict=True))
        super()._hear(job, batch, waiting, heard)


def simulated(sizes: Sequence[int]) -> list[str]:
    """The lines to print: classes of these sizes on nodes that KWOK simulates, and how time and memory grow."""
    lines = [
        f"grading on {POD_NODES} simulated nodes: what our side does; controllers may make {CONTROLLERS_QPS} requests a second"
    ]
    seconds, ours = [], []
    plain = simulated_.order

    def order(folder: Path, ports: simulated_.Ports) -> dict[str, list[str]]:
        found = plain(folder, ports)
        for name in ("kube-controller-manager", "kube-scheduler"):
            found[name] += [f"--kube-api-qps={CONTROLLERS_QPS}", f"--kube-api-burst={2 * CONTROLLERS_QPS}"]
        return found

    simulated_.order = order
    with tempfile.TemporaryDirectory(prefix="llmlab-scale-") as text, Simulated(nodes=POD_NODES) as cluster:
        cluster.up()
        home = Path(text)
        made = Llmlab(home)
        info = read_info(made.lab)
        _Signing.said = _said(info, made, home)
        pods.GradingJob = _Signing  # type: ignore[misc]
        context = yaml.safe_load(cluster.kubeconfig.read_text())["current-context"]
        for size in sizes:
            folder = home / str(size)
            made.lay(folder, [f"learner{number:05}" for number in range(size)], 1)
            with closing(Access(context, kubeconfig=str(cluster.kubeconfig))) as access:
                settings = pods.PodSettings(image="course", parallelism=POD_NODES * 100)
                began, cpu = time.perf_counter(), time.process_time()
                with _ScaledGrading(
                    info, folder / "submissions", folder / "out", access, settings, Settings()
                ) as it:
                    rows = it.run()
                wall, cpu = time.perf_counter() - began, time.process_time() - cpu
                graded = sum(graded.status == "graded" for graded, _ in rows)
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                seconds.append(wall)
                ours.append(cpu)
                goes = _gone(access)
                lines.append(
                    f"  {size:6} submissions: {graded} graded, {wall:.0f} s, {1000 * wall / size:.0f} ms a submission, "
                    f"{access.requests / size:.2f} requests a submission, "
                    f"{1000 * cpu / size:.0f} ms of our CPU a submission, peak memory of the grader {peak:.0f} MiB; "
                    f"its namespace was gone {goes:.0f} s later"
                )
            shutil.rmtree(folder)
    if len(sizes) > 1:
        logs = np.log(sizes)
        lines.append(
            f"  time grows as n^{np.polyfit(logs, np.log(seconds), 1)[0]:.2f}, our CPU as n^{np.polyfit(logs, np.log(ours), 1)[0]:.2f}"
        )
    return lines


def _said(info: LabInfo, made: Llmlab, home: Path) -> list[dict[str, Any]]:
    """What a pod would say of the trivial submission: taken down from this machine's own sandboxes."""
    made.lay(home / "model", ["model"], 1)
    parts: list[dict[str, Any]] = []

    rules = read_rules(info.folder)
    submission = Submission("model", "model", home / "model" / "submissions" / "model")
    with opened(info, submission, secret=bytes(16), rules=rules) as found:
        assert isinstance(found, Opened)
        orders = pods.packing.cells_to_run(
            info,
            cells=found.taken.cells,
            seed=0,
            work="/work/files",
            wall=rules.notebook,
            answer=rules.answer,
        )
    heard: list[tuple[list[Any], Ended]] = []
    plain = sandbox.converse

    def listening(process: Any, order: Any, *, on_event: Any, wall: Any = None, turn: Any = None) -> Ended:
        events: list[Any] = []

        def both(event: Any) -> None:
            events.append(json.loads(json.dumps(event)))
            on_event(event)

        ended = plain(process, order, on_event=both, wall=wall, turn=turn)
        heard.append((events, ended))
        return ended

    sandbox.converse = listening
    try:
        grade_one(info, submission, secret=bytes(16), rules=rules)
    finally:
        sandbox.converse = plain
    (cells, ended), (checked, done) = heard
    ids = [event["id"] for event in cells if event["event"] == "cell"]
    parts.append({"part": "parcel", "fingerprint": "", "cells": ids})
    parts += [{"part": "cell", "event": event} for event in cells]
    parts.append({"part": "notebook", "ended": vars_of(ended), "memory": False, "cpu": 0.1})
    parts += [{"part": "check", "event": event} for event in checked]
    parts.append({"part": "checks", "ended": vars_of(done)})
    parts.append(
        {
            "part": "pod",
            "memory": False,
            "cpu": 0.1,
            "seconds": 0.5,
            "busy": 1.0,
            "holds": "nothing: it is simulated",
        }
    )
    assert len(ids) == len(orders)
    return parts


def vars_of(ended: Ended) -> dict[str, Any]:
    """As a pod's log has it."""
    return {"why": ended.why, "code": ended.code, "noise": ended.noise}
