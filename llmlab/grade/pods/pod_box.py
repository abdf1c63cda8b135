"""A container of a pod as the box of one step."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ...system.paths import cached
from ..cage import Allowance
from ..view import COURSE, WORK, own_environment
from ..warden import OPEN_FILES

IN = Path("/in")  # what the pod was given
FILES = Path("/tmp/handed-in")
#: Its own cgroup, with v2 or v1.
CGROUPS = [Path("/sys/fs/cgroup", part) for part in ("", "memory", "cpuacct", "cpu,cpuacct")]


class PodBox:
    """A container as the box of one step: limits are its own, and all of it ends with it."""

    def __init__(self, allowance: Allowance, env: Mapping[str, str]) -> None:
        self._env = own_environment(WORK, COURSE, tmp=Path("/tmp")) | dict(env)
        # What the image has of engines, models and programs; what is made here lies in the scratch folder.
        self._env["LLMLAB_SHARED_CACHE"] = os.environ.get("LLMLAB_SHARED_CACHE", "")
        for what, limit in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, OPEN_FILES),
            (resource.RLIMIT_FSIZE, allowance.disk),
            (resource.RLIMIT_NPROC, allowance.processes),
        ):
            with suppress(OSError, ValueError):
                resource.setrlimit(what, (limit, limit))
        fonts = cached("sandbox/matplotlib")
        for path in fonts.glob("fontlist-*.json") if fonts else ():
            (WORK / ".matplotlib").mkdir(exist_ok=True)
            (WORK / ".matplotlib" / path.name).write_bytes(path.read_bytes())

    def popen(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `python ARGUMENTS` in it, with three pipes."""
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self._env,
            cwd=cwd or WORK,
            start_new_session=True,
        )
