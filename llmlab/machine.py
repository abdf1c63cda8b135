"""The machine a run is made on: what it has, what this process may use of it, and who else is using it."""

from __future__ import annotations

import functools
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import psutil

from . import __version__
from .errors import LabError
from .records.schema import Machine

PROFILES = ("binder", "laptop", "workstation")
CGROUP = Path("/sys/fs/cgroup")


def describe() -> Machine:
    """This machine, as every record carries it."""
    return Machine(
        cpu=_cpu_name(),
        cores=cpus_allowed(),
        memory=memory(),
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=platform.python_version(),
        llmlab=__version__,
        profile=profile(),
    )


def cpus_allowed() -> int:
    """Logical CPUs this process may use: its affinity, and its cgroup's quota rounded up, if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return cores if limit is None else max(1, min(cores, -int(-limit // 1)))


def quota() -> float | None:
    """The CPU quota of this process's cgroup in cores (v2 `cpu.max`, v1 `cpu.cfs_quota_us`); None: none."""
    for text in _cgroup_files("cpu", "cpu.max"):
        allowed, _, period = text.partition(" ")
        if allowed != "max":
            return int(allowed) / int(period or 100_000)
    for text in _cgroup_files("cpu", "cpu.cfs_quota_us"):
        period = next(iter(_cgroup_files("cpu", "cpu.cfs_period_us")), "100000")
        if int(text) > 0:
            return int(text) / int(period)
    return None


def memory() -> int:
    """Bytes of RAM, or the container's limit if that is lower."""
    limits = [psutil.virtual_memory().total]
    for name in ("memory.max", "memory.limit_in_bytes"):
        limits += [int(text) for text in _cgroup_files("memory", name) if text.isdigit()]
    return min(limits)


def profile() -> str:
    """How much work a lab should do here: `binder`, `laptop` or `workstation`.

    `LLMLAB_PROFILE` sets it. Otherwise: binder on a BinderHub or below 2 CPUs or 3 GiB (one CPU and 2 GB is
    what mybinder.org gives), workstation from 16 CPUs and 48 GiB, laptop between.

    :raises LabError: for an unknown name in LLMLAB_PROFILE.
    """
    asked = os.environ.get("LLMLAB_PROFILE")
    if asked:
        if asked not in PROFILES:
            raise LabError(f"Unknown profile {asked!r}.", where="LLMLAB_PROFILE", fix=" or ".join(PROFILES))
        return asked
    cores, room = cpus_allowed(), memory() / 2**30
    if "BINDER_SERVICE_HOST" in os.environ or cores < 2 or room < 3:
        return "binder"
    return "workstation" if cores >= 16 and room >= 48 else "laptop"


@dataclass(frozen=True, slots=True)
class Shares:
    """Who used the CPU over an interval, as shares (0..1) of all the cores this process may use."""

    foreign: float | None  # everybody else, steal included; None: the server's part cannot be told apart
    server: float | None


class NoiseMeter:
    """CPU accounting over one run: the whole machine's busy time minus the server's and the client's.

    Busy time is that of the CPUs in this process's affinity; inside a cgroup with a quota (a container on a
    big host) it is that cgroup's own, since the host's other tenants cannot take the quota away. This process
    (a notebook kernel drawing a live chart) counts as foreign: it competes with the server like any other.
    """

    def __init__(self, server_pid: int | Sequence[int] | None = None) -> None:
        pids = server_pid if isinstance(server_pid, Sequence) else [server_pid]
        found = [_process(pid) for pid in pids]
        self._servers = [process for process in found if process is not None]
        self._visible = len(self._servers) == len(found)
        self._family: list[psutil.Process] = []
        self._began = 0.0
        self._busy = 0.0
        self._cpu_before: float | None = None
        self._cpu_now: float | None = None
        self.peak_rss: int | None = None  # bytes, of the server and its children, the largest seen

    def start(self) -> None:
        """The interval begins."""
        self._began, self._busy = perf_counter(), _busy_seconds()
        self._cpu_now = self._cpu_before = None
        self._gather()
        self.tick()
        self._cpu_before = self._cpu_now

    def _gather(self) -> None:
        # Only at both ends: finding children reads every process of the machine, 10 ms and more.
        if not self._visible:
            return  # a part of them says nothing of the whole
        try:
            self._family = [
                process for server in self._servers for process in (server, *server.children(recursive=True))
            ]
        except psutil.Error:
            pass

    def tick(self) -> None:
        """Look at the server, a few times a second, so that one that dies is still accounted for."""
        try:
            times = [process.cpu_times() for process in self._family]
            rss = sum(process.memory_info().rss for process in self._family)
        except psutil.Error:
            return
        if not times:
            return
        self._cpu_now = sum(t.user + t.system for t in times)
        self.peak_rss = max(self.peak_rss or 0, rss)

    def stop(self, client_cpu_seconds: float) -> Shares:
        """The interval ends; `client_cpu_seconds` is what the load client used in it."""
        self._gather()
        self.tick()
        wall = max(perf_counter() - self._began, 1e-9)
        room = wall * _capacity()
        if self._cpu_now is None or self._cpu_before is None:
            return Shares(foreign=None, server=None)
        server = max(0.0, self._cpu_now - self._cpu_before)
        # Tick-based accounting (10 ms) can put the parts above the whole in a short run.
        foreign = max(0.0, _busy_seconds() - self._busy - server - client_cpu_seconds)
        return Shares(foreign=min(1.0, foreign / room), server=min(1.0, server / room))


#: Of the time something waited for a CPU: above this share, that a server was late says nothing about it.
CROWDED = 0.9


class Crowd:
    """Whether others kept the cores busy while something was watched: how long some process waited for a CPU.

    Linux's pressure stall information (`/proc/pressure/cpu`, the total of "some", in µs); elsewhere it knows nothing.
    """

    def __init__(self) -> None:
        self._began, self._stalled = perf_counter(), _stalled()

    def share(self) -> float | None:
        """Of the time since it was made, the share in which some process had no CPU to run on; None: not known here."""
        now = _stalled()
        if now is None or self._stalled is None:
            return None
        return (now - self._stalled) / max(perf_counter() - self._began, 1e-9)


def _stalled() -> float | None:
    """Seconds since the start in which some process of the machine waited for a CPU."""
    try:
        some = Path("/proc/pressure/cpu").read_text().splitlines()[0]
        return int(some.rpartition("total=")[2]) / 1e6
    except (OSError, ValueError, IndexError):
        return None


def _process(pid: int | None) -> psutil.Process | None:
    try:
        return psutil.Process(pid) if pid is not None else None
    except psutil.Error:
        return None


def _capacity() -> float:
    """Cores' worth of CPU that `_busy_seconds` is measured against."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota()
    return float(cores) if limit is None else min(float(cores), limit)


def _busy_seconds() -> float:
    if quota() is not None:
        used = _cgroup_seconds()
        if used is not None:
            return used
    every = psutil.cpu_times(percpu=True)
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(len(every))
    # Guest time is already inside user and nice; idle and iowait are not work.
    parts = ("user", "nice", "system", "irq", "softirq", "steal")
    return sum(float(getattr(every[n], part, 0.0)) for n in mine if n < len(every) for part in parts)


def _cgroup_seconds() -> float | None:
    for text in _cgroup_files("cpuacct", "cpuacct.usage"):
        return int(text) / 1e9
    for text in _cgroup_files("cpu", "cpu.stat"):
        for line in text.splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
    return None


@functools.cache
def _cgroup_folders(controller: str) -> tuple[Path, ...]:
    """This process's cgroup, and those above it, for a controller; nearest first, v1 before v2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return ()
    found: list[Path] = []
    for line in lines:
        _, names, path = line.split(":", 2)
        if names and controller not in names.split(","):
            continue
        root = CGROUP / names if names else CGROUP
        own = root / path.lstrip("/")
        # In a container the path may be the host's, which is not mounted here: its own root is.
        for folder in (own, *own.parents):
            if folder.is_relative_to(root) and folder.is_dir():
                found.append(folder)
    return tuple(found)


def _cgroup_files(controller: str, name: str) -> list[str]:
    texts = []
    for folder in _cgroup_folders(controller):
        try:
            texts.append((folder / name).read_text().strip())
        except OSError:
            continue
    return texts


@functools.cache
def _cpu_name() -> str:
    if sys.platform == "darwin":
        import subprocess

        line = ["sysctl", "-n", "machdep.cpu.brand_string"]
        named = subprocess.run(line, capture_output=True, text=True, check=False).stdout.strip()
        return named or platform.processor()
    try:
        for line_ in Path("/proc/cpuinfo").read_text().splitlines():
            if line_.lower().startswith(("model name", "hardware")):
                return line_.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
