"""What the containers and builds of one submission may take. A grader sets it; on somebody's own machine there is none."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from .daemon import client, speaking

VARIABLE = "LLMLAB_BOUNDS"


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """For each container: cores, bytes, processes; for all of them: how many; for a build: seconds."""

    cpus: float
    memory: int
    processes: int
    containers: int = 24
    build: float = 120.0
    apart: str = ""  # cache mounts of builds are kept apart under this name

    def text(self) -> str:
        """As a variable of the process that deploys."""
        return msgspec.json.encode(self).decode()


def here() -> Bounds | None:
    """The bounds of this process's deployments; None: it has none (somebody's own machine)."""
    text = os.environ.get(VARIABLE)
    return msgspec.json.decode(text, type=Bounds) if text else None


def container(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of one container (the docker SDK's) with bounds where they name none."""
    bounds = here()
    if bounds is None:
        return dict(options)
    limits: dict[str, Any] = {"mem_limit": bounds.memory, "pids_limit": bounds.processes}
    if not {"nano_cpus", "cpu_quota", "cpu_period"} & set(options):
        limits["nano_cpus"] = int(cpus(bounds) * 1e9)
    return limits | dict(options)


def cpus(bounds: Bounds) -> float:
    """Cores for each container: what the daemon has, if that is less (it refuses more)."""
    with speaking():
        return min(bounds.cpus, float(client().info()["NCPU"]))
