"""The stand-in for llama-server of `stand_in.c`: built with the compiler at hand, started, and asked what it sent."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMPILER = next(filter(shutil.which, ("cc", "gcc", "clang")), None)


@dataclass(slots=True)
class StandIn:
    """It streams made-up tokens at a set rate and computes nothing: never a stand-in for anything but a fast server."""

    url: str
    pid: int
    tokens: int = 0  # sent; from here on known once it has ended
    late: int = 0  # steps that could not be kept to the rate
    blocked: int = 0  # writes that a full socket held up
    cpu: float = 0.0  # seconds


@contextmanager
def built(name: str) -> Iterator[Path]:
    """The program of this name.c beside this file, while the context lasts."""
    assert COMPILER is not None, "no C compiler"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, name)
        subprocess.run([COMPILER, "-O2", "-o", program, Path(__file__).with_name(f"{name}.c")], check=True)
        yield program


@contextmanager
def stand_in(rate: float) -> Iterator[StandIn]:
    """One that sends `rate` tokens a second, over all its streams, and ends with the context."""
    with (
        built("stand_in") as program,
        subprocess.Popen(
            [program, str(rate)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as child,
    ):
        assert child.stdout is not None
        running = StandIn(f"http://127.0.0.1:{child.stdout.readline().strip()}", child.pid)
        try:
            yield running
        finally:
            child.terminate()
            _, said = child.communicate()
    for name, value in json.loads(said).items():
        setattr(running, name, value)
