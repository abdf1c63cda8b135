"""What the machine is said to be, and who is said to use it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from llmlab import machine
from llmlab.errors import LabError


def _spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_the_machine_describes_itself() -> None:
    found = machine.describe()
    assert found.cpu
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 2**28 < found.memory <= psutil.virtual_memory().total
    assert found.python == sys.version.split()[0]
    assert found.profile in machine.PROFILES
    assert str(found.cores) in found.line


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_cores_are_those_this_process_may_use() -> None:
    code = (
        "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]);"
        " from llmlab import machine; print(machine.cpus_allowed())"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "1"


@pytest.mark.parametrize(
    ("cores", "memory", "profile"),
    [(1, 2, "binder"), (2, 2, "binder"), (2, 8, "laptop"), (12, 64, "laptop"), (32, 128, "workstation")],
)
def test_the_profile_follows_the_machine(
    cores: int, memory: int, profile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLMLAB_PROFILE", raising=False)
    monkeypatch.delenv("BINDER_SERVICE_HOST", raising=False)
    monkeypatch.setattr(machine, "cpus_allowed", lambda: cores)
    monkeypatch.setattr(machine, "memory", lambda: memory * 2**30)
    assert machine.profile() == profile


def test_the_profile_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMLAB_PROFILE", "workstation")
    assert machine.profile() == "workstation"
    monkeypatch.setenv("LLMLAB_PROFILE", "mainframe")
    with pytest.raises(LabError, match="mainframe"):
        machine.profile()


def _cgroup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text)
    monkeypatch.setattr(machine, "_cgroup_folders", lambda controller: (tmp_path,))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu__max": "150000 100000\n"}, 1.5),
        ({"cpu__max": "max 100000\n"}, None),
        ({"cpu__cfs_quota_us": "50000\n", "cpu__cfs_period_us": "100000\n"}, 0.5),
        ({"cpu__cfs_quota_us": "-1\n", "cpu__cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_a_container_is_read(
    files: dict[str, str], cores: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _cgroup(tmp_path, monkeypatch, **files)
    assert machine.quota() == cores
    if cores is not None:
        assert machine.cpus_allowed() <= max(1, round(cores + 0.5))


def test_the_memory_limit_of_a_container_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _cgroup(tmp_path, monkeypatch, memory__max=f"{2**30}\n")
    assert machine.memory() == 2**30
    _cgroup(tmp_path, monkeypatch, memory__max="max\n")
    assert machine.memory() == psutil.virtual_memory().total


BURNER = """
import sys, time
print("ready", flush=True)
for line in sys.stdin:
    end = time.process_time() + float(line)
    while time.process_time() < end:
        pass
    print("done", flush=True)
"""


@contextmanager
def burner() -> Iterator[Callable[[float], None]]:
    """A process that burns as many CPU-seconds as it is told; `pid` is on the function."""
    with subprocess.Popen(
        [sys.executable, "-c", BURNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()

        def burn(seconds: float) -> None:
            child.stdin.write(f"{seconds}\n")
            child.stdout.readline()

        burn.pid = child.pid
        burn.kill = lambda: (child.kill(), child.wait())
        yield burn
        child.kill()


def test_foreign_cpu_is_told_from_the_servers() -> None:
    """A child burns 0.5 CPU-seconds: the server's for the meter that knows it, foreign for the one that does not."""
    with burner() as server, burner() as idle:
        knows, fooled = machine.NoiseMeter(server.pid), machine.NoiseMeter(idle.pid)
        knows.start()
        fooled.start()
        before = time.perf_counter()
        server(0.5)
        right, wrong = knows.stop(client_cpu_seconds=0.0), fooled.stop(client_cpu_seconds=0.0)
        room = (time.perf_counter() - before) * machine.cpus_allowed()
    assert right.server * room == pytest.approx(0.5, abs=0.06)  # the kernel counts in ticks of 10 ms
    assert wrong.server * room < 0.05
    assert (wrong.foreign - right.foreign) * room == pytest.approx(0.5, abs=0.1)
    assert knows.peak_rss > 2**20


def test_a_stranger_is_foreign() -> None:
    with burner() as server, burner() as stranger:
        meter = machine.NoiseMeter(server.pid)
        meter.start()
        before = time.perf_counter()
        stranger(0.5)
        shares = meter.stop(client_cpu_seconds=0.0)
        room = (time.perf_counter() - before) * machine.cpus_allowed()
    assert shares.foreign * room > 0.4
    assert shares.server * room < 0.05


def test_a_server_that_dies_is_accounted_for_up_to_the_last_look() -> None:
    with burner() as server:
        meter = machine.NoiseMeter(server.pid)
        meter.start()
        server(0.2)
        meter.tick()
        server.kill()
        shares = meter.stop(client_cpu_seconds=0.0)
    assert shares.server is not None
    assert shares.server > 0


def test_the_clients_cpu_is_not_foreign() -> None:
    meter = machine.NoiseMeter(os.getpid())
    meter.start()
    _spin(0.3)
    plain = meter.stop(client_cpu_seconds=0.0)
    less = meter.stop(client_cpu_seconds=10.0)
    assert plain.foreign is not None
    assert less.foreign == 0.0


@pytest.mark.parametrize("pid", [None, 2**22 + 1])
def test_without_the_servers_process_foreign_cpu_is_unknown(pid: int | None) -> None:
    meter = machine.NoiseMeter(pid)
    meter.start()
    shares = meter.stop(0.1)
    assert shares.foreign is None
    assert shares.server is None
    assert meter.peak_rss is None
