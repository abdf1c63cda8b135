"""What a sandbox sees of the machine: Python, llmlab, engines and models; nothing of anybody's."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from .. import machine, tier
from ..system import owned, without
from ..system.keeper import landlock
from ..system.paths import cache_dir, shared_cache_dirs, state_dir

WORK = Path("/work")  # its scratch space
COURSE = Path("/course")  # where it sees the one lab that is graded


@functools.cache
def python() -> list[Path]:
    """Python, what is installed in its environment, and llmlab itself."""
    package = Path(__file__).resolve().parents[1]
    wanted = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.base_exec_prefix), package]
    wanted += [Path(sysconfig.get_paths()[name]) for name in ("purelib", "platlib", "stdlib")]
    return _outermost([path for path in wanted if path.exists()])


def cached() -> list[Path]:
    """Engines, models, and what the tiers name of their programs; what else lies in the cache is nobody's business."""
    roots = [cache_dir(), *shared_cache_dirs()]
    found = [
        root / name
        for root in roots
        for known_tier in tier.tiers()
        for name in known_tier.readable
        if (root / name).exists()
    ]
    engine = os.environ.get("LLMLAB_ENGINE")
    if engine and engine not in ("wheel", "built") and Path(engine).exists():
        found.append(Path(engine).resolve().parent)
    return found


def _outermost(paths: Sequence[Path]) -> list[Path]:
    """Without what lies inside another of them, or inside the system's own folders."""
    kept: list[Path] = []
    for path in sorted(set(paths), key=lambda p: len(p.parts)):
        if not any(path.is_relative_to(other) for other in [*kept, *map(Path, ("/usr", "/lib", "/lib64"))]):
            kept.append(path)
    return kept


@functools.cache
def users() -> Path:
    """An /etc/passwd that says who we are and nothing else."""
    path = state_dir() / "sandbox-passwd"
    path.write_text(f"learner:x:{os.getuid()}:{os.getgid()}::{WORK}:/bin/sh\n")
    return path


def own_environment(work: Path, course: Path, *, tmp: Path) -> dict[str, str]:
    """The variables of what runs in a sandbox, which inherits none but what the instructor chose for all."""
    chosen = {name: os.environ[name] for name in ("LLMLAB_ENGINE", without.VARIABLE) if name in os.environ}
    return chosen | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(work),
        "TMPDIR": str(tmp),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(work / ".matplotlib"),
        "MPLBACKEND": "agg",
        "IPYTHONDIR": str(work / ".ipython"),
        "LLMLAB_CACHE": str(work / ".cache"),
        "LLMLAB_STATE": str(work / ".state"),
        "LLMLAB_COURSE": str(course),
        "LLMLAB_PROFILE": machine.profile(),
        owned.WALL: "1",
    }


def notebook_variables(ready: float) -> dict[str, str]:
    """What a notebook's cells find in their environment, besides what any sandbox has.

    :param ready: seconds that a deployment may take.
    """
    return {"LLMLAB_GRADING": "1", "LLMLAB_PROFILE": "binder", "LLMLAB_READY": str(ready)}


@functools.cache
def walled(inside: tuple[str, ...] = ()) -> str:
    """What holds a deployment off the checks that run beside it, in words.

    :param inside: the line that runs a program where they run; empty: they run as this process does.
    """
    abi, apart = landlock(), _apart(inside)
    kept = [
        word
        for word, holds in (("change files of", abi), ("trace", abi or apart), ("signal", abi >= 6 or apart))
        if holds
    ]
    if not kept:
        return "no wall between what was deployed and its checks (this system has neither Landlock nor user namespaces)"
    by = [*([f"Landlock {abi}"] if abi else []), *(["namespaces"] if apart else [])]
    words = ", ".join(kept[:-1]) + (" or " if kept[1:] else "") + kept[-1]
    return f"what was deployed cannot {words} its checks ({', '.join(by)})"


def _apart(inside: tuple[str, ...]) -> bool:
    """Whether what is deployed there can get a list of processes of its own: tried, with util-linux' program."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        line = [*inside, "unshare", "--map-current-user", "--pid", "--fork", "true"]
        return not subprocess.run(line, capture_output=True, timeout=20).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
