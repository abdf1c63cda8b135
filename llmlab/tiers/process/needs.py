"""What a server as a process needs of the machine: an engine, quotas, a GPU."""

from __future__ import annotations

import platform
import shutil

from ...tier import MAC, Need, program


def process() -> Need:
    """A llama-server: on PATH, built here, or in the wheel."""
    from ... import engine
    from ...errors import LabError

    try:
        return Need("process", True, engine.find().line())
    except LabError as error:
        return Need("process", False, error.what, error.fix or "llmlab engine")


def cpu_quota() -> Need:
    """Something that holds a process to a CPU quota."""
    from ...serve.limits import available

    limiter = available().get("whole-cpus")
    fractions = available().get("fractional-cpus")
    if fractions:
        return Need("cpu-quota", True, f"{fractions}: any fraction of a core")
    if limiter:
        return Need("cpu-quota", True, f"{limiter}: whole CPUs only")
    return Need(
        "cpu-quota",
        False,
        f"nothing on {platform.system()} here holds a process to a CPU quota",
        "use Linux (or WSL2)",
    )


def memory_quota() -> Need:
    """Something that holds a process to a memory quota."""
    from ...serve.limits import available

    limiter = available().get("memory")
    if limiter:
        return Need("memory-quota", True, f"{limiter}: going over it ends the process")
    return Need(
        "memory-quota",
        False,
        "memory is measured here, not enforced",
        "run as root, or under a systemd user session",
    )


def binary() -> Need:
    """A native engine: with router, signals and exit codes."""
    from ... import engine

    # Whatever LLMLAB_ENGINE chooses for serving: this asks whether there is one at all.
    for candidate in engine.candidates():
        if (
            candidate.engine is not None
            and {"router", "signals", "exit-codes"} <= candidate.engine.capabilities
        ):
            return Need("binary", True, candidate.engine.line())
    return Need("binary", False, "the wheel's engine only (no router, no exit codes)", "llmlab fetch binary")


def compiler() -> Need:
    """A C++ compiler, to build a native engine with."""
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if found:
        return Need("compiler", *program(found, "--version"))
    return Need(
        "compiler", False, "no C++ compiler", "xcode-select --install" if MAC else "sudo apt-get install g++"
    )


def gpu() -> Need:
    """An NVIDIA GPU whose driver lets CUDA programs use it."""
    from ...engine import nvidia

    found = nvidia.driver()
    met = bool(found.gpus) and found.obstacle is None
    mend = "an NVIDIA GPU with its driver"
    return Need("gpu", met, found.line, "" if met else found.obstacle.mend if found.obstacle else mend)
