"""CPU and memory quotas around one process, with whatever this machine has for it.

Best first: cgroup v2 or v1 where their folders can be written (root, a container that delegates them),
`systemd-run --user --scope` (a Linux desktop), then CPU affinity (whole CPUs only, no memory limit).
macOS has none of them. Which one was used is in every record (`limiter`).
The cgroup v1 and affinity rungs are exercised by the tests; cgroup v2 and systemd follow the kernel's
cgroup-v2.rst and systemd.resource-control(5), and each is tried on a throw-away process before it is used.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..records.schema import Throttle
from ..system import owned, without

CGROUP = Path("/sys/fs/cgroup")
PERIOD_US = 100_000  # the kernel's default CFS period


@dataclass(frozen=True, slots=True)
class Limits:
    """A quota: `cpus` in cores (0.5 is half a core), `memory` in bytes; None: no limit."""

    cpus: float | None = None
    memory: int | None = None

    def __bool__(self) -> bool:
        return self.cpus is not None or self.memory is not None


def own_cgroup(controller: str) -> Path | None:
    """The folder of this process's own cgroup for a v1 controller, or ("") the v2 tree."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, names, path = line.split(":", 2)
        if names == controller or (controller and controller in names.split(",")):
            root = CGROUP / names if names else CGROUP
            # In a container the path is the host's, which is not mounted here: its own root is.
            return next((p for p in (root / path.lstrip("/"), root) if p.is_dir()), None)
    return None


def make_cgroup(parent: Path | None, name: str, **values: object) -> Path | None:
    """A new cgroup below `parent` with these files written; None when that is not allowed here."""
    if parent is None:
        return None
    path = parent / name
    try:
        path.mkdir()
        for key, value in values.items():
            (path / key.replace("__", ".")).write_text(str(value))
        if not os.access(path / "cgroup.procs", os.W_OK):
            raise PermissionError
    except OSError:
        with contextlib.suppress(OSError):
            path.rmdir()
        return None
    return path


@dataclass(slots=True)
class Fence:
    """The quota made real: hand `join`, `affinity` and `prefix` to the process, then read what it met."""

    limiter: str
    limits: Limits
    join: list[Path] = field(default_factory=list)
    affinity: list[int] = field(default_factory=list)
    prefix: list[str] = field(default_factory=list)
    folders: dict[str, Path] = field(default_factory=dict)  # controller -> cgroup folder ("" is v2)
    _entry: Path | None = None
    _pid: int | None = None

    @property
    def enforces_memory(self) -> bool:
        """Whether going over `limits.memory` ends the process (otherwise it is only measured)."""
        return self.limits.memory is not None and self.limiter in ("cgroup1", "cgroup2", "systemd")

    def started(self, pid: int) -> None:
        """The process runs: from here on its own cgroup can be found (systemd makes one for it)."""
        self._pid = pid

    def _find_scope(self) -> None:
        """Systemd moves the process into its scope a moment after the start, so look when asked."""
        with contextlib.suppress(OSError, StopIteration):
            text = Path(f"/proc/{self._pid}/cgroup").read_text()
            path = next(line[3:] for line in text.splitlines() if line.startswith("0::"))
            if "llmlab-" in path:
                self.folders[""] = CGROUP / path.lstrip("/")

    def _read(self, controller: str, name: str) -> str | None:
        if self.limiter == "systemd" and not self.folders:
            self._find_scope()
        folder = self.folders.get(controller, self.folders.get(""))
        if folder is None:
            return None
        try:
            return (folder / name).read_text()
        except OSError:
            return None

    def throttle(self) -> Throttle | None:
        """CFS throttling so far (`cpu.stat`); None where this machine does not count it."""
        text = self._read("cpu", "cpu.stat")
        if text is None or self.limits.cpus is None:
            return None
        values = dict(line.split() for line in text.splitlines() if len(line.split()) == 2)
        if "nr_periods" not in values:
            return None
        if "throttled_usec" in values:
            seconds = int(values["throttled_usec"]) / 1e6
        else:
            seconds = int(values["throttled_time"]) / 1e9
        return Throttle(
            periods=int(values["nr_periods"]),
            throttled=int(values["nr_throttled"]),
            throttled_seconds=seconds,
        )

    def oom_kills(self) -> int:
        """How often the kernel killed something in here for going over the memory limit."""
        for name in ("memory.oom_control", "memory.events"):
            for line in (self._read("memory", name) or "").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def close(self) -> None:
        """Remove the cgroups; what ran in them must have ended."""
        for folder in self.folders.values():
            if self.limiter != "systemd":  # systemd removes its own
                _remove(folder)
        self.folders.clear()
        if self._entry is not None:
            owned.forget(self._entry)
            self._entry = None


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + 2
    while folder.exists():
        try:
            folder.rmdir()
        except OSError:  # the kernel is still taking the last task out
            if time.monotonic() > deadline:
                return
            os.sched_yield()


def register_cgroup(name: str, label: str) -> Path:
    """Register a cgroup of this name before it is made, wherever it may be: whoever is killed half-way leaves no stray."""
    parents = [own_cgroup(controller) for controller in ("cpu", "memory", "pids", "cpuacct", "")]
    folders = {str(parent / name): None for parent in (*parents, CGROUP) if parent is not None}
    return owned.register("cgroup", label, folders=list(folders))


def end_cgroup(folder: Path, *, wait: bool = False) -> list[str]:
    """Remove a cgroup with all that was made below it, and end what still runs there; returns what that was.

    :param wait: give what was killed just now up to 2 s to be gone before it counts as running.
    """
    found = []
    below = [path for path in folder.rglob("*") if path.is_dir()]
    for path in (*sorted(below, key=lambda child: -len(child.parts)), folder):
        if wait:
            _remove(path)
        with contextlib.suppress(OSError, ValueError):
            for pid in (path / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    found.append(f"process {pid}: {Path(f'/proc/{pid}/comm').read_text().strip()}")
                with contextlib.suppress(OSError):
                    os.kill(int(pid), 9)
        _remove(path)
    return found


def _end_cgroups(data: dict[str, Any]) -> None:
    for name in data["folders"]:
        end_cgroup(Path(name))


owned.ENDERS["cgroup"] = _end_cgroups


def _cgroup1(limits: Limits, name: str) -> Fence | None:
    fence = Fence("cgroup1", limits)
    wanted: dict[str, dict[str, object]] = {}
    if limits.cpus is not None:
        wanted["cpu"] = {
            "cpu__cfs_period_us": PERIOD_US,
            "cpu__cfs_quota_us": max(1000, round(limits.cpus * PERIOD_US)),
        }
    if limits.memory is not None:
        wanted["memory"] = {"memory__limit_in_bytes": limits.memory, "memory__swappiness": 0}
    for controller, values in wanted.items():
        folder = make_cgroup(own_cgroup(controller), name, **values)
        if folder is None:
            fence.close()
            return None
        fence.folders[controller] = folder
        fence.join.append(folder / "cgroup.procs")
    return fence


def _cgroup2(limits: Limits, name: str) -> Fence | None:
    if not (CGROUP / "cgroup.controllers").is_file():
        return None
    values: dict[str, object] = {}
    if limits.cpus is not None:
        values["cpu__max"] = f"{max(1000, round(limits.cpus * PERIOD_US))} {PERIOD_US}"
    if limits.memory is not None:
        values |= {"memory__max": limits.memory, "memory__swap__max": 0}
    # Own cgroup first (delegated to us), then the root (we are root): a cgroup with processes in it
    # cannot hand controllers down (the "no internal processes" rule), the root can.
    for parent in (own_cgroup(""), CGROUP):
        if parent is not None:
            with contextlib.suppress(OSError):
                (parent / "cgroup.subtree_control").write_text("+cpu +memory")
            folder = make_cgroup(parent, name, **values)
            if folder is not None:
                return Fence("cgroup2", limits, join=[folder / "cgroup.procs"], folders={"": folder})
    return None


@functools.cache
def _systemd_works() -> bool:
    if not shutil.which("systemd-run"):
        return False
    line = ["systemd-run", "--user", "--scope", "--quiet", "-p", "CPUQuota=50%", "true"]
    try:
        return subprocess.run(line, capture_output=True, timeout=5).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _systemd(limits: Limits, name: str) -> Fence | None:
    if not _systemd_works():
        return None
    prefix = ["systemd-run", "--user", "--scope", "--quiet", f"--unit={name}"]
    if limits.cpus is not None:
        prefix += ["-p", f"CPUQuota={limits.cpus * 100:g}%"]
    if limits.memory is not None:
        prefix += ["-p", f"MemoryMax={limits.memory}", "-p", "MemorySwapMax=0"]
    return Fence("systemd", limits, prefix=[*prefix, "--"])


def _taskset(limits: Limits, name: str) -> Fence | None:
    if not hasattr(os, "sched_setaffinity"):
        return None
    allowed = sorted(os.sched_getaffinity(0))
    if limits.cpus is None:
        return Fence("taskset", limits)
    if limits.cpus != int(limits.cpus):
        return None
    return Fence("taskset", limits, affinity=allowed[: max(1, int(limits.cpus))])


def _makers(limits: Limits) -> tuple[Callable[[Limits, str], Fence | None], ...]:
    """What may hold these limits, best first."""
    if limits.cpus is not None and without.taken("cpu-quota"):
        return ()
    if limits.memory is not None and without.taken("memory-quota"):
        return (_taskset,)  # which lets memory be: it is measured
    return (_cgroup2, _cgroup1, _systemd, _taskset)


def fence(limits: Limits) -> Fence:
    """Make the quota; the caller starts the process inside it and closes it afterwards.

    :raises LabError: when this machine has nothing that can hold `limits`.
    """
    name = f"llmlab-{uuid.uuid4().hex[:12]}"
    if not limits:
        return Fence("none", limits)
    if limits.cpus is not None and limits.cpus <= 0:
        raise LabError(f"A CPU quota must be above 0, not {limits.cpus}.", fix="set limits.cpus, e.g. 1.0")
    entry = register_cgroup(name, name)
    for make in _makers(limits):
        made = make(limits, name)
        if made is not None:
            if made.folders:
                made._entry = entry
            else:
                owned.forget(entry)
            return made
    owned.forget(entry)
    what = f"{limits.cpus:g} CPUs" if limits.cpus is not None else f"{limits.memory} bytes"
    system = "macOS" if sys.platform == "darwin" else "this machine"
    raise LabError(
        f"Nothing on {system} can hold a process to {what}.",
        fix="run it as root, under a systemd user session, or use whole CPUs on Linux (taskset)",
        without="leave [limits] out: the lab then shows only the unlimited curve",
    )


@functools.cache
def available() -> dict[str, str]:
    """What can be limited here: {"fractional-cpus": limiter, "whole-cpus": ..., "memory": ...}."""
    found = {}
    for what, limits in (
        ("fractional-cpus", Limits(cpus=0.5)),
        ("whole-cpus", Limits(cpus=1.0)),
        ("memory", Limits(memory=64 << 20)),
    ):
        with contextlib.suppress(LabError):
            made = fence(limits)
            if what != "memory" or made.enforces_memory:
                found[what] = made.limiter
            made.close()
    return found
