"""A cluster's life by stages: where its seconds go, and in how many of them the machine had nothing to do."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import psutil

from llmlab.course.info import find_lab
from llmlab.records.stats import Spread
from llmlab.tiers.kubernetes.drivers.local import Local
from llmlab.tiers.kubernetes.manifests import manifests
from llmlab.tiers.kubernetes.manifests.applied import Applied

SOLUTION = Path(__file__).parents[2] / "solutions" / "07-change-without-loss"
GIVEN = Path(__file__).parents[2] / "labs" / "07-change-without-loss"


class Stages:
    """Seconds and idle share by stage, over the rounds."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.idle: dict[str, list[float]] = defaultdict(list)

    @contextlib.contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Measure the block."""
        before, began = psutil.cpu_times(), perf_counter()
        yield
        took = perf_counter() - began
        self.note(name, took, psutil.cpu_times().idle - before.idle)

    def note(self, name: str, took: float, idle: float) -> None:
        """One measurement; `idle` in CPU seconds."""
        self.seconds[name].append(took)
        self.idle[name].append(min(1.0, idle / max(took * (os.cpu_count() or 1), 0.001)))

    def lines(self) -> Iterator[str]:
        """A line a stage."""
        for name, values in self.seconds.items():
            idle = sorted(self.idle[name])[len(values) // 2]
            yield f"  {name:34} {Spread.of(values)} s, idle {idle:4.0%}  (n = {len(values)})"


def cluster(rounds: int) -> Iterator[str]:
    """Up, images, add-ons, a Deployment, a roll-out and the end, `rounds` times."""
    stages = Stages()
    for _ in range(rounds):
        one = Local()
        marks = [("start", perf_counter(), psutil.cpu_times().idle)]
        one.up(lambda text, marks=marks: marks.append((text, perf_counter(), psutil.cpu_times().idle)))
        try:
            for (_, at, idle), (name, then, later) in itertools.pairwise(marks):
                stages.note(f"up: until “{name[:20]}”", then - at, later - idle)
            with stages.of("images of lab 07"):
                one.load(*find_lab("07").images["kubernetes"])
            with stages.of("images once more"):
                one.load(*find_lab("07").images["kubernetes"])
            with stages.of("add-on storage"):
                one.add("storage")
            with stages.of("add-ons metrics-server, keda"):
                one.add("metrics-server", "keda")
            found = [
                *manifests.read(GIVEN, ["namespace.yaml", "service.yaml"], namespaces=["inference"]),
                *manifests.read(SOLUTION, ["deployment.yaml"], namespaces=["inference"]),
            ]
            for document in found:
                if document.kind == "Deployment":
                    document.body["spec"]["replicas"] = 2
            stack = Applied(one, found)
            with stages.of("apply"):
                stack.up()
            with stages.of("two replicas ready"):
                stack.ready(90)
            with stages.of("roll-out, idle users"):
                one.run_kubectl("rollout", "restart", "deployment/llama-server", "-n", "inference")
                stack.ready(90)
            with stages.of("namespace gone"):
                stack.down()
        finally:
            with stages.of("down"):
                one.down()
    yield from stages.lines()
