"""What every sandbox would make anew, made once outside and lent to all: bytecode, and matplotlib's list of fonts.

Compiling is half of a start, and inside nothing can be kept. `__pycache__` beside the sources is not enough: a fresh
environment has none, and it may be read-only or unwanted there.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from ..system.paths import cache_dir

#: The grader's own two programs, and what nearly every lab's notebook imports.
_IMPORTS = """
import llmlab.grade.inside, llmlab.checks.run, llmlab.tiers.process.probes, llmlab.load.run, llmlab.load.worker
import llmlab.lab.lab, llmlab.lab.panel, llmlab.lab.machine, llmlab.figures.throughput
import IPython.core.completer, matplotlib.backends.backend_agg, matplotlib.pyplot, pandas, httpx, prometheus_client.parser
"""


@functools.cache
def warm() -> Path:
    """The folder that holds `bytecode/` and `matplotlib/`; about three seconds the first time, nothing afterwards."""
    folder = cache_dir() / "sandbox"
    (folder / "bytecode").mkdir(parents=True, exist_ok=True)
    note = folder / "made-of"
    now = _state()
    with contextlib.suppress(OSError):
        if note.read_text() == now:
            return folder
    env = {name: x for name, x in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "MPLCONFIGDIR": str(folder / "matplotlib")}
    line = [sys.executable, "-P", "-c", _IMPORTS]
    # Where it fails, sandboxes compile for themselves, as slow as that is.
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(line, env=env | {"MPLBACKEND": "agg"}, capture_output=True, timeout=120, check=False)
        note.write_text(now)
    return folder


def _state() -> str:
    """Changes with Python, what is installed and our own sources. Python itself passes over bytecode that is too old."""
    package = Path(__file__).resolve().parents[1]
    watched = [Path(sysconfig.get_paths()["purelib"]), *sorted(package.rglob("*.py"))]
    times = "".join(f"{path} {path.stat().st_mtime_ns}\n" for path in watched)
    return hashlib.sha256(f"{sys.version} {_IMPORTS} {times}".encode()).hexdigest()
