"""`llmlab` without a verb: set up, first light, the doctor's table, then JupyterLab on the index page."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import psutil

from ..errors import LabError
from ..show.terminal import progress
from ..system import owned
from ..system.local_client import local_client
from ..system.paths import course_dir, state_dir

T = TypeVar("T")


def _step(text: str, work: Callable[[], T], show: Callable[[T], str]) -> T:
    print(f"  {text} … ", end="", flush=True)
    began = time.monotonic()
    try:
        value = work()
    except BaseException:
        print("✘", flush=True)
        raise
    print(f"{show(value)} ({time.monotonic() - began:.1f} s)", flush=True)
    return value


def first_light() -> str:
    """Start a real server, load it briefly, stop it, save figure and record; returns the one line that says so."""
    from .. import machine
    from ..figures import throughput
    from ..load import closed, measure
    from ..load.target import target
    from ..records import stats
    from ..records.store import write
    from ..serve import Server, Spec

    flags = {"ctx-size": 4096, "parallel": 4, "metrics": True, "threads": max(1, machine.cpus_allowed() - 1)}
    with Server(Spec(model="20m", flags=flags)) as server:
        plans = [closed(n, requests=4 * n + 4, max_tokens=32) for n in (1, 2, 4)]
        record = measure(target(server), plans, note="first light")
        where = server.engine.line()
    folder = state_dir() / "first-light"
    write(record, folder / "record.json")
    picture = throughput(record)
    picture.save(folder / "throughput.png")
    speed = [stats.tokens_per_second(run) for run in record.runs]
    used = record.servers[0].device.used.upper()
    return (
        f"{speed[0]:.0f} tokens/s for one user, {speed[-1]:.0f} for four, 20m model on {used}, {where}\n"
        f"    figure {folder / 'throughput.png'}\n    record {folder / 'record.json'}"
    )


def open_course(*, browser: bool, port: int, lab: bool) -> int:
    """Everything from nothing to an open course; returns JupyterLab's exit code."""
    from .. import doctor, engine, models
    from ..course.progress import write_index
    from .doctor import show_doctor

    course = course_dir()
    if lab:
        _require_free(port)  # first: what comes before JupyterLab takes a while
    print("llmlab: setting up")
    _step("engine", engine.find, lambda program: program.line())
    for name in ("tiny", "20m"):
        _step(
            f"model {name}",
            partial(models.get, name),
            lambda model: f"{model.bytes / 2**20:.1f} MiB, checksum right",
        )
    _step("first light", first_light, str)
    print()
    show_doctor(doctor.report())
    print()
    page = write_index(course)
    if not lab:
        return 0
    return _jupyter(course, page, browser=browser, port=port)


def _require_free(port: int) -> None:
    from ..serve.ports import port_holder

    if port and (holder := port_holder(port)):
        raise LabError(f"Port {port} is taken by {holder}.", fix="llmlab --port 0 finds a free one")


def _jupyter(course: Path, page: Path, *, browser: bool, port: int) -> int:
    from ..serve.ports import free_port

    _require_free(port)
    port = port or free_port()
    token = secrets.token_urlsafe(24)
    config = os.pathsep.join(
        filter(None, [str(Path(__file__).parents[1] / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    # The token travels in the environment: a command line is readable by everyone on the machine.
    env = os.environ | {"JUPYTER_CONFIG_PATH": config, "JUPYTER_TOKEN": token}
    argv = [
        sys.executable,
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={course}",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.open_browser=False",
        "--ServerApp.log_level=ERROR",
        "--LabApp.news_url=None",
    ]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        argv.append("--allow-root")
    url = f"http://127.0.0.1:{port}/lab/tree/{page.relative_to(course)}?token={token}"
    process = subprocess.Popen(argv, env=env, cwd=course)
    entry = owned.register(
        "process",
        f"JupyterLab on port {port}",
        pid=process.pid,
        start=psutil.Process(process.pid).create_time(),
    )
    old = signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches JupyterLab, which asks whether it is meant
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        _await_jupyter(process, port, token)
        print(
            f"The course is open at\n\n    {url}\n\nStop it with Ctrl-C twice. Everything it started ends with it.",
            flush=True,
        )
        if browser:
            import webbrowser

            webbrowser.open(url)
        return process.wait()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        owned.forget(entry)
        signal.signal(signal.SIGINT, old)


def _await_jupyter(process: subprocess.Popen[bytes], port: int, token: str) -> None:
    import httpx

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with local_client(headers={"Authorization": f"token {token}"}) as client:
                if client.get(f"http://127.0.0.1:{port}/api/status").status_code == 200:
                    return
        except httpx.HTTPError:
            pass
        try:
            code = process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        raise LabError(f"JupyterLab ended with code {code} while it started.", where=f"port {port}")
    raise LabError("JupyterLab did not answer within 60 s.", where=f"port {port}")


def build_engine(*, cuda: bool, as_json: bool) -> int:
    """`llmlab engine build`: build natively, then measure it beside the wheel's engine, there and then."""
    from .. import engine

    say = partial(progress, to=sys.stderr)

    built = engine.build(cuda=cuda, say=say)
    compared = compare("built", "wheel", say=say)
    if as_json:
        print(json.dumps({"built": built.line(), "compared": compared}))
        return 0
    print(f"built: {built.line()}")
    for row in compared:
        print(
            f"  {row['model']}, {row['streams']} stream(s), {row['threads']} thread(s): native {row['built']:.0f} tokens/s "
            f"[{row['built_range']}], wheel {row['wheel']:.0f} [{row['wheel_range']}]: {row['ratio']:.2f}×"
        )
    return 0


def compare(
    first: str, second: str, *, rounds: int = 3, say: Callable[[str], None]
) -> list[dict[str, object]]:
    """Tokens/s of two engines on this machine, alternating rounds: medians, ranges and the ratio of medians."""
    from .. import machine
    from ..load import closed, measure
    from ..load.target import target
    from ..records import stats
    from ..serve import Server, Spec

    rows: list[dict[str, object]] = []
    threads = max(1, machine.cpus_allowed() - 1)
    for model, streams in (("20m", 1), ("20m", 4), ("200m", 1)):
        speeds: dict[str, list[float]] = {first: [], second: []}
        for turn in range(rounds):
            for name in (first, second):
                say(f"measuring {model}, {streams} stream(s), {name}, round {turn + 1} of {rounds}")
                flags = {"ctx-size": 2048, "parallel": streams, "threads": threads, "metrics": True}
                with Server(Spec(model=model, flags=flags, engine=name)) as server:
                    record = measure(target(server), [closed(streams, requests=4 * streams, max_tokens=48)])
                speeds[name].append(stats.tokens_per_second(record.runs[0]))
        a, b = (stats.Spread.of(speeds[name]) for name in (first, second))
        rows.append(
            {
                "model": model,
                "streams": streams,
                "threads": threads,
                first: a.median,
                f"{first}_range": f"{a.low:.0f}–{a.high:.0f}",
                second: b.median,
                f"{second}_range": f"{b.low:.0f}–{b.high:.0f}",
                "ratio": a.median / b.median if b.median else 0.0,
            }
        )
    return rows
