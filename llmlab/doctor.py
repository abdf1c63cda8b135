"""What this machine can run, what is missing, and the command that mends it.

Each need is one function that tries the thing itself (a daemon answers, a cgroup can be made), because a program on PATH says
little; a tier brings those of its own (`needs`). Labs, tests (`needs` markers) and `llmlab doctor` share these answers;
`LLMLAB_WITHOUT` takes needs away (see `without`).
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import sys
from dataclasses import asdict
from typing import Any

from . import tier
from .errors import LabError
from .system import jail, without
from .tier import MAC, Need, program


def root() -> Need:
    """To be root, on Linux."""
    if not sys.platform.startswith("linux"):
        return Need(
            "root",
            False,
            f"only Linux has the namespaces that this needs ({platform.system()} here)",
            "use a Linux machine",
        )
    return Need("root", os.geteuid() == 0, f"uid {os.geteuid()}", "sudo -E uv run llmlab")


def browser_path() -> str | None:
    """A Chromium that Playwright can drive, from LLMLAB_BROWSER or PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if without.taken("browser"):
        return None
    return os.environ.get("LLMLAB_BROWSER") or next(filter(None, map(shutil.which, names)), None)


def browser() -> Need:
    """A Chromium, for the tests of the notebooks."""
    path = browser_path()
    mend = "brew install --cask chromium" if MAC else "sudo apt-get install chromium"
    if not path:
        return Need("browser", False, "no Chromium on PATH", mend)
    return Need("browser", *program(path, "--version"), mend)


def sandbox() -> Need:
    """A sandbox for what strangers hand in."""
    if MAC:
        return Need(
            "sandbox", False, "macOS has no namespaces: submissions run in a process group", "grade on Linux"
        )
    why = jail.trouble()
    if why is None:
        return Need("sandbox", True, "bubblewrap: each submission has its own processes, network and files")
    if not shutil.which("bwrap"):
        detail = f"{why}: submissions run in a process group"
        return Need("sandbox", False, detail, "sudo apt-get install bubblewrap")
    mend = "sudo sysctl kernel.unprivileged_userns_clone=1, or run as root outside a container"
    return Need("sandbox", False, why, mend)


def needs() -> dict[str, str]:
    """All needs there are, and what tries each: those of the tiers, and the machine's."""
    return tier.all_of("needs")


def need(name: str) -> Need:
    """Look one need up; tried once per process. What `LLMLAB_WITHOUT` takes away is not met.

    :raises LabError: where that variable names something that is no need.
    """
    if name not in needs():
        raise ValueError(f"unknown need {name!r}; there are {', '.join(needs())}")
    return Need(name, False, without.WORDS, without.MEND) if without.taken(name) else _tried(name)


@functools.cache
def _tried(name: str) -> Need:
    found: Need = tier.load(needs()[name])()
    return found


def cuda() -> dict[str, Any]:
    """The NVIDIA driver and its GPUs, the toolkit, and what each engine here makes of them, as plain data.

    `says` are the sentences of it for a human, each with its command; one of an engine for the CPU alone is left out where there is
    no GPU, and where another engine is for CUDA.
    """
    from . import engine
    from .engine import nvidia, toolkit

    driver = nvidia.driver()
    found = [candidate.engine for candidate in engine.candidates() if candidate.engine is not None]
    engines = list({program.argv: program for program in found}.values())
    views = {program.line(): program.cuda() for program in engines}
    compiler: dict[str, Any] = {"nvcc": None, "version": None, "architectures": [], "why": None, "mend": None}
    if driver.gpus:
        try:
            compiler |= asdict(toolkit.chosen())
        except LabError as error:
            compiler |= {"why": error.what, "mend": error.fix}
    works = any(view.devices and view.obstacle is None for view in views.values())
    with_cuda = works or any(view.compiled for view in views.values())
    says = [(driver.obstacle.what, driver.obstacle.mend)] if driver.gpus and driver.obstacle else []
    if driver.gpus and not driver.obstacle:
        for line, view in views.items():
            if view.remark:
                says.append((f"{line}: {view.remark}", ""))
            elif view.obstacle and (view.compiled or not with_cuda):
                says.append((f"{line}: {view.obstacle.what}", view.obstacle.mend))
        if not works and compiler["why"]:
            says.append((compiler["why"], compiler["mend"]))
    return {
        "driver": asdict(driver),
        "toolkit": compiler,
        "engines": {line: asdict(view) for line, view in views.items()},
        "says": [{"what": what, "mend": mend} for what, mend in dict(says).items()],
    }


def report() -> dict[str, Any]:
    """Everything `llmlab doctor` knows, as plain data."""
    from . import __version__, engine, machine

    found = [need(name) for name in needs()]
    described = machine.describe()
    return {
        "schema": "llmlab/doctor/1",
        "llmlab": __version__,
        "machine": {"line": described.line, "system": described.system, "profile": described.profile},
        "engines": [
            {"kind": candidate.kind, "found": candidate.engine is not None, "detail": candidate.detail}
            for candidate in engine.candidates()
        ],
        "cuda": cuda(),
        "needs": [asdict(requirement) for requirement in found],
    }
