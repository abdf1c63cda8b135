"""What a killed kernel leaves behind: for the worlds of labs 12 and 13."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from llmlab.system import owned


def kill_kernel(code: str, *, least: int) -> None:
    """Run `code`, which prints its folder and waits; kill it: of at least `least` processes, and of the folder, nothing is left."""
    kernel = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = Path(kernel.stdout.readline().strip())
    assert folder.is_dir()
    below = psutil.Process(kernel.pid).children(recursive=True)
    assert len(below) >= least
    kernel.kill()
    kernel.wait()
    _, alive = psutil.wait_procs(below, timeout=20)
    assert not alive, "a process outlived its kernel"
    owned.clean()
    assert not folder.exists()
    kernel.stdin.close()
    kernel.stdout.close()
