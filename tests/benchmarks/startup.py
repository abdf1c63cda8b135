"""How long one waits: a cold process's first reply, the delay of seeing a server ready, `llmlab --help`."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from time import perf_counter

from llmlab.records.stats import Spread
from llmlab.serve import Server, Spec

FIRST = """
from llmlab.serve import Server, Spec
with Server(Spec(model={model!r}, flags={{"parallel": 1, "threads": 1}})) as server:
    server.post("/v1/completions", {{"prompt": "hello", "max_tokens": 1}})
    print("answered", flush=True)
"""


def seconds_to_first_reply(model: str) -> float:
    """From starting Python to the first answered request (model file already made)."""
    before = perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", FIRST.format(model=model)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "answered\n"
        took = perf_counter() - before
    return took


def ready_delay(model: str) -> float:
    """Seconds between the first 200 of /health, looked for without pause by another thread, and `start` returning."""
    server = Server(Spec(model=model, flags={"parallel": 1, "threads": 1}), port=_free())
    seen: list[float] = []
    over = threading.Event()

    def watch() -> None:
        request = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        while not over.is_set():
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", server._port_asked), 1) as s,
            ):
                s.sendall(request)
                if b" 200 " in s.recv(64):
                    seen.append(perf_counter())
                    return
            over.wait(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        server.start()
        returned = perf_counter()
        watcher.join(5)
    finally:
        over.set()
        server.stop()
        watcher.join()
    return max(0.0, returned - seen[0])


def help_seconds() -> float:
    """`llmlab --help`, from exec to exit."""
    before = perf_counter()
    subprocess.run([sys.executable, "-m", "llmlab", "--help"], stdout=subprocess.DEVNULL, check=True)
    return perf_counter() - before


def startup(rounds: int) -> list[str]:
    """The lines to print."""
    lines = [f"waiting, milliseconds, {rounds} rounds"]
    waits: dict[str, Callable[[], float]] = {
        "cold process to first reply, tiny": lambda: seconds_to_first_reply("tiny"),
        "cold process to first reply, 20m": lambda: seconds_to_first_reply("20m"),
        "ready server to start() returning, 20m": lambda: ready_delay("20m"),
        "llmlab --help": help_seconds,
    }
    for name, call in waits.items():
        lines.append(f"  {name}: {Spread.of(call() * 1000 for _ in range(rounds))}")
    return lines


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
