"""Limits around everything a sandbox runs, by cgroup where this machine lets us; else rlimits alone.

The limits stand on an outer cgroup; what runs sees only an inner one, which it may divide further (a lab that puts a
quota on its server does) and in which no larger limit helps.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import psutil

from ..serve.limits import CGROUP, PERIOD_US, end_cgroup, make_cgroup, own_cgroup, register_cgroup
from ..system import owned


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one submission may use, in each of its sandboxes."""

    cpus: float = 2.0  # cores
    memory: int = 2 << 30  # bytes
    processes: int = 256  # threads count as well
    disk: int = 512 << 20  # bytes
    build: float = 120.0  # seconds for a container image


@dataclass(slots=True)
class Cage:
    """One set of cgroups, made when entered and removed when left; everything in it is dead by then.

    `join`: files into which the first process writes its id; `inside`: controller -> the folder it may divide.
    """

    allowance: Allowance
    join: list[Path] = field(default_factory=list)
    inside: dict[str, Path] = field(default_factory=dict)
    limited: list[str] = field(default_factory=list)  # of "cpus", "memory", "processes"
    outlived: list[str] = field(default_factory=list)  # what was still in it when it was left
    _outer: list[Path] = field(default_factory=list)
    _entry: Path | None = None

    def __enter__(self) -> Cage:
        name = f"llmlab-{uuid.uuid4().hex[:12]}"
        self._entry = register_cgroup(name, f"sandbox {name}")
        if (CGROUP / "cgroup.controllers").is_file():
            self._version2(name)
        else:
            self._version1(name)
        return self

    def _version1(self, name: str) -> None:
        allowed = self.allowance
        wanted: dict[str, tuple[str, dict[str, object]]] = {
            "cpu": (
                "cpus",
                {"cpu__cfs_period_us": PERIOD_US, "cpu__cfs_quota_us": round(allowed.cpus * PERIOD_US)},
            ),
            "memory": ("memory", {"memory__limit_in_bytes": allowed.memory, "memory__swappiness": 0}),
            "pids": ("processes", {"pids__max": allowed.processes}),
            "cpuacct": ("", {}),  # counts, where it is not one with "cpu"
        }
        for controller, (what, values) in wanted.items():
            outer = make_cgroup(own_cgroup(controller), name, **values)
            if outer is None:
                continue
            self._outer.append(outer)
            inner = make_cgroup(outer, "inner")
            if inner is None:
                continue
            self.join.append(inner / "cgroup.procs")
            self.limited += [what] if what else []
            if controller in ("cpu", "memory"):
                self.inside[controller] = inner

    def _version2(self, name: str) -> None:
        allowed = self.allowance
        values: dict[str, object] = {
            "cpu__max": f"{round(allowed.cpus * PERIOD_US)} {PERIOD_US}",
            "memory__max": allowed.memory,
            "memory__swap__max": 0,
            "pids__max": allowed.processes,
        }
        for parent in (own_cgroup(""), CGROUP):
            if parent is not None:
                with contextlib.suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text("+cpu +memory +pids")
                outer = make_cgroup(parent, name, **values)
                if outer is not None:
                    self._outer.append(outer)
                    self.join.append(outer / "cgroup.procs")
                    self.limited += ["cpus", "memory", "processes"]
                    return

    def cpu_seconds(self) -> float:
        """CPU time of all that ran in it (0 where it is not counted)."""
        return cpu_seconds(self._outer)

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in here for going over the memory limit."""
        return out_of_memory([folder for outer in self._outer for folder in (outer, outer / "inner")])

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for outer in self._outer:
            self.outlived += end_cgroup(outer, wait=True)
        self._outer.clear()
        if self._entry is not None:
            owned.forget(self._entry)
            self._entry = None


def busy_seconds() -> float:
    """CPU seconds that this machine has worked."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


def cpu_seconds(folders: Sequence[Path]) -> float:
    """CPU time of all that ran in the cgroup of these folders, one a controller (0 where it is not counted)."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError):
            return int((folder / "cpuacct.usage").read_text()) / 1e9
        with contextlib.suppress(OSError, ValueError, StopIteration):
            text = (folder / "cpu.stat").read_text()
            return (
                int(next(line.split()[1] for line in text.splitlines() if line.startswith("usage_usec")))
                / 1e6
            )
    return 0.0


def out_of_memory(folders: Sequence[Path]) -> bool:
    """Whether the kernel killed something in these cgroups for going over the memory limit."""
    for folder in folders:
        for name in ("memory.oom_control", "memory.events"):
            with contextlib.suppress(OSError):
                for line in (folder / name).read_text().splitlines():
                    if line.startswith("oom_kill ") and int(line.split()[1]):
                        return True
    return False
