"""Bubblewrap: a process with namespaces of its own, which sees the system's programs and what it is given, and nothing else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

from . import without


def sandbox_line(program: str = "bwrap") -> list[str]:
    """Bubblewrap with namespaces of its own, no capability, and the system's programs read-only; the rest is the caller's."""
    line = [program, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    line += ["--proc", "/proc", "--dev", "/dev"]
    for name in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(name):
            line += ["--symlink", os.readlink(name), name]
        elif os.path.exists(name):
            line += ["--ro-bind", name, name]
    return line


def trouble() -> str | None:
    """Why it cannot be used here, in its own words where it has some; None: it can."""
    return f"bubblewrap is {without.WORDS}" if without.taken("sandbox") else _trouble()


@functools.cache
def _trouble() -> str | None:
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed"
    try:
        line = [*sandbox_line(), "--", "/bin/true"]
        done = subprocess.run(line, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap: {error}"
    return (done.stderr.strip().splitlines() or ["it does not run"])[-1] if done.returncode else None
