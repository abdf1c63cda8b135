"""A real server, asked from outside: the port answers, the pid is gone."""

from __future__ import annotations

import importlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from llmlab import models
from llmlab.engine import nvidia
from llmlab.engine.cuda import CudaView
from llmlab.engine.nvidia import NvidiaDriver, Obstacle
from llmlab.errors import LabError
from llmlab.serve import Limits, Server, Spec
from llmlab.system import owned

find = importlib.import_module("llmlab.engine.find")  # the package has a function of that name
TINY = Spec(model="tiny", flags={"ctx-size": 1024, "parallel": 2, "threads": 1, "metrics": True})


def spec(**flags) -> Spec:
    return Spec(model="tiny", flags={**TINY.flags, **flags})


@pytest.fixture(scope="module")
def server():
    with Server(TINY) as one:
        yield one


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_is_ready_when_start_returns(server):
    assert httpx.get(server.url + "/health").status_code == 200
    assert server.complete("Hello", max_tokens=4)


def test_values_are_plain(server):
    assert server.props()["total_slots"] == 2
    assert [slot["n_ctx"] for slot in server.slots()] == [512, 512]
    before = server.metrics()
    server.complete("Hello", max_tokens=5)
    assert server.counters_since(before)["tokens_predicted_total"] == 5
    assert server.log_tail(3)
    assert server.rss() > 1 << 20


def test_an_http_error_is_said_in_the_servers_words(server):
    with pytest.raises(LabError, match="context"):
        server.post("/completion", {"prompt": [300] * 900, "n_predict": 1})


def test_the_command_can_be_pasted(server, tmp_path):
    words = shlex.split(server.command)
    words[words.index("--port") + 1] = "0"
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 30
        while b"listening on http://" not in log.read_bytes():
            assert time.monotonic() < deadline, log.read_text()
            assert process.poll() is None, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_stops_within_two_seconds_with_requests_in_flight():
    with Server(spec(**{"ctx-size": 65536})) as one:
        pid, port = one.pid, one.port
        sockets = []
        for _ in range(6):  # more than there are slots
            s = socket.create_connection(("127.0.0.1", port))
            body = b'{"prompt":"x","n_predict":30000,"ignore_eos":true,"stream":true}'
            s.sendall(
                b"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
            sockets.append(s)
        deadline = time.monotonic() + 20
        while sum(slot["is_processing"] for slot in one.slots()) < 2:
            assert time.monotonic() < deadline
        began = time.monotonic()
        one.stop()
        took = time.monotonic() - began
        for s in sockets:
            s.close()
    assert took < 2
    assert not psutil.pid_exists(pid)
    assert not answers(port)
    assert owned.entries() == [] or all(entry.data.get("pid") != pid for entry in owned.entries())


def test_drain_waits_for_what_is_in_flight():
    with Server(TINY) as one:
        done = []
        worker = threading.Thread(target=lambda: done.append(one.complete("x", max_tokens=300)))
        worker.start()
        deadline = time.monotonic() + 20
        while not any(slot["is_processing"] for slot in one.slots()):
            assert worker.is_alive() or done, "the request ended before it began"
            assert time.monotonic() < deadline
            if done:
                break
        assert one.drain(30)
        worker.join(5)
        assert done


def test_can_start_again_after_a_stop():
    one = Server(TINY)
    with one:
        first = one.pid
    with one:
        assert one.pid != first
        assert one.health() == 200
    assert one.health() == 0


def test_a_taken_port_names_who_holds_it():
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(LabError, match=f"Port {port} is taken by pid {os.getpid()}"):
            Server(spec(port=port)).start()


@pytest.mark.parametrize("name", ["missing", "truncated", "text"])
def test_a_bad_model_is_named(tmp_path, name):
    path = tmp_path / f"{name}.gguf"
    if name == "truncated":
        path.write_bytes(models.get("tiny").path.read_bytes()[:200_000])
    elif name == "text":
        path.write_text("not a model")
    with pytest.raises(LabError, match=name):
        Server(Spec(model=str(path), folder=tmp_path)).start()


@pytest.mark.parametrize("line", ['tools = "all"', "agent = true", 'mcp-servers-json = "{}"'])
def test_a_flag_that_starts_programs_is_not_for_a_file(tmp_path, line):
    path = tmp_path / "server.toml"
    path.write_text(f'model = "tiny"\n[flags]\n{line}\n')
    server = Server(Spec.read(path))
    name = line.partition(" ")[0]
    says = "starts programs" if name in server.engine.flags() else "no flag"
    with pytest.raises(LabError, match=says) as caught:
        server.start()
    assert "line 3" in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "near"), [("paralel", "parallel"), ("c", "ctx-size"), ("bogus-thing", "bogus-thing")]
)
def test_an_unknown_flag_is_refused_with_file_line_and_the_nearest(tmp_path, flag, near):
    path = tmp_path / "server.toml"
    path.write_text(f'model = "tiny"\n[flags]\nmetrics = true\n{flag} = 3\n')
    with pytest.raises(LabError) as caught:
        Server(Spec.read(path)).start()
    assert "line 4" in str(caught.value)
    assert near in str(caught.value)


def test_a_child_that_dies_while_loading_is_reported_at_once_with_its_last_words(tmp_path):
    script = tmp_path / "llama-server"
    real = Server(TINY).engine.argv
    # A server that gets as far as logging, then dies: what a bad driver or a full disk does.
    script.write_text(
        f'#!/bin/sh\ncase "$1" in --*) [ $# = 1 ] && exec {shlex.join(real)} "$@";; esac\n'
        f'echo "0.00.001 I srv loading" >&2\necho "0.00.002 E srv the disk went away" >&2\ndate +%s.%N > {tmp_path}/died\nexit 1\n'
    )
    script.chmod(0o755)
    with pytest.raises(LabError, match="the disk went away"):
        Server(Spec(model="tiny", engine=str(script))).start()
    assert (
        time.time() - float((tmp_path / "died").read_text()) < 0.2 + 0.3
    )  # 0.2 s to see it; the rest is this machine's
    assert [e for e in owned.entries() if str(script) in e.data.get("argv", [])] == []


def test_killed_while_loading_is_said():
    one = Server(Spec(model="200m", flags={"ctx-size": 32768, "parallel": 1, "threads": 1}))
    stopper = threading.Thread(target=_kill_when_it_runs, args=(one,))
    stopper.start()
    try:
        with pytest.raises(LabError, match="SIGKILL"):
            one.start()
    finally:
        stopper.join()
        one.stop()


def _kill_when_it_runs(one: Server) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid = one.pid
        if pid:
            os.kill(pid, signal.SIGKILL)
            return


@pytest.mark.needs("cpu-quota")
def test_a_kernel_killed_with_9_leaves_no_server(tmp_path):
    before = cgroups()
    code = (
        "import sys; from llmlab.serve import Limits, Server, Spec\n"
        "server = Server(Spec(model='tiny', flags={'threads': 1}, limits=Limits(cpus=1.0))).start()\n"
        "print(server.pid, server.port, flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid, port = map(int, owner.stdout.readline().split())
    assert answers(port)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)
    assert not psutil.pid_exists(pid)
    assert not answers(port)
    deadline = time.monotonic() + 5
    while cgroups() - before:
        assert time.monotonic() < deadline, cgroups() - before
    owner.stdin.close()
    owner.stdout.close()


def test_a_key_is_needed_and_never_in_argv(tmp_path):
    (tmp_path / "key.txt").write_text("sesame-open\n")
    one = Spec(model="tiny", flags={**TINY.flags, "api-key-file": "key.txt"}, folder=tmp_path)
    with Server(one) as server:
        assert httpx.get(server.url + "/props").status_code == 401
        assert server.props()["total_slots"] == 2
        assert server.metrics()
        assert "sesame-open" not in " ".join(psutil.Process(server.pid).cmdline())
        assert "sesame-open" not in server.command
    with Server(Spec(model="tiny", flags=TINY.flags, env={"LLAMA_API_KEY": "sesame-open"})) as server:
        assert httpx.get(server.url + "/slots").status_code == 401
        assert server.slots()
        assert "sesame-open" not in " ".join(psutil.Process(server.pid).cmdline()) + server.command


def test_the_learners_shell_does_not_change_the_server(monkeypatch):
    monkeypatch.setenv("LLAMA_ARG_N_PARALLEL", "7")
    with Server(Spec(model="tiny", flags={"ctx-size": 1024, "threads": 1, "parallel": 2})) as server:
        assert server.props()["total_slots"] == 2


def test_cuda_without_a_device_says_so_and_never_counts_as_cuda():
    one = Server(Spec(model="tiny", device="cuda", flags={**TINY.flags, "n-gpu-layers": "all"}))
    if any(name.upper().startswith("CUDA") for name in one.engine.devices()):
        pytest.skip("there is a CUDA device here")
    with one:
        device = one.info().device
        assert (device.asked, device.used) == ("cuda", "cpu")
        assert "no CUDA device" in device.note


H200 = "CUDA0: NVIDIA H200 (143156 MiB, 142634 MiB free)"


def sees(monkeypatch, **view):
    """Let every engine here list a GPU; a real one still answers, on the CPU."""
    monkeypatch.setattr(find, "_devices", lambda _argv: (H200,))
    monkeypatch.setattr(find, "_view", lambda _argv: CudaView(devices=(H200,), **view))


def test_a_server_for_the_cpu_keeps_off_a_gpu_that_its_engine_sees(monkeypatch):
    """llama-server's own default is any GPU that it finds; the record would say "cpu" of it."""
    sees(monkeypatch)
    with Server(TINY) as server:
        assert server.info().command[-2:] == ["--device", "none"]
        assert (server.info().device.asked, server.info().device.used) == ("cpu", "cpu")


def test_what_was_asked_of_a_gpu_and_who_drives_it_stand_in_the_record(monkeypatch):
    sees(monkeypatch, remark="the driver compiles PTX")
    monkeypatch.setattr(nvidia, "driver", lambda: NvidiaDriver("570.133.20", "12.8"))
    made = Server(Spec(model="tiny", device="cuda", flags=TINY.flags))
    line = made._arguments()
    assert line[line.index("--device") + 1] == "CUDA0"
    assert line[line.index("--n-gpu-layers") + 1] == "all"
    device = made.device
    assert (device.used, device.name, device.driver, device.cuda) == ("cuda", H200, "570.133.20", "12.8")
    assert device.note == "the driver compiles PTX"


def test_an_engine_without_code_for_the_gpu_is_not_asked_to_use_it(monkeypatch):
    """It would end at its first token: no kernel image is available for execution on the device."""
    sees(monkeypatch, obstacle=Obstacle("it holds machine code for 89", "llmlab engine build --cuda"))
    with Server(Spec(model="tiny", device="cuda", flags=TINY.flags)) as server:
        device = server.info().device
        assert (device.asked, device.used) == ("cuda", "cpu")
        assert "it runs on the CPU" in device.note
        assert server.info().command[-2:] == ["--device", "none"]


def test_an_engine_with_cuda_comes_before_one_on_path_without(monkeypatch):
    made = {need: Server(TINY).engine for need in ((), ("cuda",))}
    asked = []

    def found(path=None, *, need=()):
        asked.append((path, need))
        return made[need]

    monkeypatch.setattr("llmlab.serve.server.engines.find", found)
    assert Server(Spec(model="tiny", device="cuda", flags=TINY.flags)).engine is made[("cuda",)]
    assert asked == [(None, ("cuda",))]


def test_engine_is_chosen_by_the_spec():
    with Server(Spec(model="tiny", engine="wheel", flags={"threads": 1})) as server:
        assert server.info().engine == "wheel"


def cgroups() -> set[Path]:
    return set(Path("/sys/fs/cgroup").glob("*/llmlab-*")) | set(Path("/sys/fs/cgroup").glob("llmlab-*"))


@pytest.mark.needs("cpu-quota")
def test_a_cpu_quota_holds():
    before, limits = cgroups(), Limits(cpus=1.0)
    with Server(Spec(model="tiny", flags=TINY.flags, limits=limits)) as server:
        assert server.info().limiter
        if server.throttle() is None:  # taskset: whole CPUs
            assert len(psutil.Process(server.pid).cpu_affinity()) == 1
    assert not cgroups() - before


@pytest.mark.needs("memory-quota")
def test_over_the_memory_limit_is_said_as_that():
    before, limits = cgroups(), Limits(memory=24 << 20)
    flags = {**TINY.flags, "ctx-size": 32768, "parallel": 1}
    with pytest.raises(LabError, match="24 MiB"):
        Server(Spec(model="20m", flags=flags, limits=limits)).start()
    assert not cgroups() - before
