"""Nothing outlives its owner: asked from outside, by pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from llmlab.errors import LabError
from llmlab.system import keeper, owned


def gone(pid: int, within: float = 5.0) -> bool:
    """Whether a process disappears in time (a condition with a deadline, not a sleep)."""
    try:
        psutil.Process(pid).wait(within)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
    return True


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))


def start(tmp_path, *argv: str) -> owned.Process:
    return owned.Process(argv, label="a test's process", log=tmp_path / "log")


def test_is_registered_while_it_runs_and_forgotten_after(tmp_path):
    process = start(tmp_path, "sleep", "60")
    assert [entry.data["pid"] for entry in owned.entries()] == [process.pid]
    process.kill()
    assert gone(process.pid)
    assert owned.entries() == []


def test_exit_code_and_signal_are_seen(tmp_path):
    assert start(tmp_path, "sh", "-c", "exit 3").wait(5) == 3
    process = start(tmp_path, "sleep", "60")
    process.signal(signal.SIGTERM)
    assert process.wait(5) == -signal.SIGTERM


def test_a_program_that_is_not_there_is_said_by_name(tmp_path):
    with pytest.raises(LabError, match="/no/such/program"):
        start(tmp_path, "/no/such/program")


def test_strays_in_a_session_of_their_own_end_too(tmp_path):
    process = start(tmp_path, "sh", "-c", f"setsid sleep 60 & echo $! > {tmp_path}/stray; exec sleep 60")
    stray = wait_for_number(tmp_path / "stray")
    process.kill()
    assert gone(stray)


def wait_for_number(path, within: float = 10.0) -> int:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if path.exists() and path.read_text().strip():
            return int(path.read_text())
    raise AssertionError(f"{path} was not written within {within} s")


def test_an_owner_killed_with_9_takes_it_along(tmp_path):
    code = (
        "from llmlab.system import owned; from pathlib import Path; import sys, threading\n"
        # from a thread that ends: what PR_SET_PDEATHSIG alone gets wrong
        "out = []\n"
        f"t = threading.Thread(target=lambda: out.append(owned.Process(['sleep', '60'], label='x', log=Path({str(tmp_path)!r}) / 'log')))\n"
        "t.start(); t.join(); print(out[0].pid, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(owner.stdout.readline())
    assert psutil.pid_exists(pid)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert gone(pid)
    owner.stdout.close()
    owner.stdin.close()


def test_clean_ends_what_lost_its_owner_and_nothing_else(tmp_path):
    mine = start(tmp_path, "sleep", "60")
    orphan = subprocess.Popen(["sleep", "60"])
    lost = {"pid": 2**22 - 1, "start": 1.0}
    path = owned.register("process", "lost", pid=orphan.pid, start=psutil.Process(orphan.pid).create_time())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"owner": lost}))
    stranger = subprocess.Popen(["sleep", "60"])
    # a pid that came round again: same number, another start time
    other = owned.register("process", "recycled", pid=stranger.pid, start=1.0)
    other.write_text(json.dumps(json.loads(other.read_text()) | {"owner": lost}))
    assert [entry.label for entry in owned.clean()] == ["lost"]
    assert gone(orphan.pid)
    orphan.wait(5)
    assert stranger.poll() is None
    assert mine.poll() is None
    stranger.kill()
    stranger.wait()
    assert [entry.data["pid"] for entry in owned.clean(everything=True)] == [mine.pid]
    assert gone(mine.pid)
    mine.kill()


def test_a_ctrl_c_in_the_terminal_does_not_reach_it(tmp_path):
    process = start(tmp_path, "sleep", "60")
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.kill()


INTRUDER = """
import ctypes, os, signal, sys
other, note, own = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def tried(name, what):
    try: what()
    except OSError as error: print(name, error.strerror, flush=True)
    else: print(name, "done", flush=True)
def trace():
    calls = ctypes.CDLL(None, use_errno=True)
    if calls.ptrace(16, other, None, None): raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
tried("signal", lambda: os.kill(other, signal.SIGSTOP))
tried("append", lambda: open(note, "a").write("forged"))
tried("read", lambda: open(note).read())
tried("remove", lambda: os.unlink(note))
tried("trace", trace)
tried("own", lambda: open(own + "/mine", "w").write("x"))
tried("shared", lambda: open("/dev/null", "w").write("x"))
"""


@pytest.mark.skipif(
    subprocess.run(
        ["unshare", "--map-current-user", "--pid", "--fork", "true"], capture_output=True
    ).returncode
    != 0
    if sys.platform.startswith("linux")
    else True,
    reason="this system gives nobody but root namespaces. Bring it: Linux with user namespaces",
)
def test_what_was_handed_in_has_a_list_of_processes_of_its_own_in_a_graders_sandbox_and_nowhere_else(
    tmp_path, monkeypatch
):
    numbers = {}
    for walled in (True, False):
        if walled:
            monkeypatch.setenv(owned.WALL, "1")
        else:
            monkeypatch.delenv(owned.WALL)
        process = owned.Process(["sleep", "60"], label="apart", log=tmp_path / "log", handed_in=[])
        status = Path(f"/proc/{process.pid}/status").read_text()
        numbers[walled] = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
        assert numbers[walled][0] == str(process.pid)
        process.kill()
        assert not psutil.pid_exists(process.pid)
    assert numbers[True][-1] == "1"
    assert len(numbers[True]) == len(numbers[False]) + 1


@pytest.mark.skipif(
    keeper.landlock() < 6, reason="this kernel's Landlock scopes no signals. Bring it: Linux 6.12"
)
def test_what_was_handed_in_is_walled_off_in_a_graders_sandbox_and_nowhere_else(tmp_path, monkeypatch):
    own = tmp_path / "own"
    own.mkdir()
    note = tmp_path / "note"
    said = {}
    for walled in (True, False):
        note.write_text("as it was")
        log = tmp_path / f"log-{walled}"
        if walled:
            monkeypatch.setenv(owned.WALL, "1")
        else:
            monkeypatch.delenv(owned.WALL)
        beside = owned.Process(["sleep", "60"], label="beside", log=tmp_path / "beside.log")
        script = [sys.executable, "-c", INTRUDER, str(beside.pid), str(note), str(own)]
        process = owned.Process(script, label="intruder", log=log, handed_in=[own])
        assert process.wait(20) == 0, log.read_text()
        said[walled] = dict(line.split(" ", 1) for line in log.read_text().splitlines())
        # A signal is on its way when kill(2) returns.
        deadline = time.monotonic() + 5
        while (
            stopped := psutil.Process(beside.pid).status() == psutil.STATUS_STOPPED
        ) is walled and time.monotonic() < deadline:
            pass
        beside.kill()
        assert stopped is not walled
        assert note.exists() is walled
    refused = {name for name, what in said[True].items() if what != "done"}
    assert refused == {"signal", "append", "remove", "trace"}, said
    assert {what for name, what in said[False].items() if name != "trace"} == {"done"}, (
        said
    )  # others' processes: as the system has it
