"""A pod without a cluster: its two steps in bubblewrap, with the volumes of its manifest as folders."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from llmlab.grade.view import cached, python
from llmlab.system.jail import sandbox_line


class PaperPod:
    """`pod.run("notebook")`, then `pod.run("checks")`."""

    def __init__(self, folder: Path, *, lab: bytes, parcel: bytes, sealed: bytes) -> None:
        self.folder = folder
        for name, content in (("lab", lab), ("parcel", parcel), ("sealed", sealed)):
            path = folder / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (folder / "handover").mkdir()

    def run(self, step: str, timeout: float = 120, **more: str) -> subprocess.CompletedProcess[bytes]:
        """One of its steps, with further variables."""
        line = [
            *sandbox_line(),
            "--tmpfs",
            "/tmp",
            "--tmpfs",
            "/work",
            "--tmpfs",
            "/course",
            "--tmpfs",
            "/dev/shm",
        ]
        for path in (*python(), *cached()):
            line += ["--ro-bind", str(path), str(path)]
        for name in ("ld.so.cache", "alternatives", "fonts"):
            line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        given = ["lab", "parcel", *(["sealed"] if step == "checks" else [])]
        for name in given:
            line += ["--ro-bind", str(self.folder / "in" / name), f"/in/{name}"]
        line += ["--bind" if step == "notebook" else "--ro-bind", str(self.folder / "handover"), "/handover"]
        variables = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": "/work",
            "LLMLAB_CACHE": "/work/.cache",
            "LLMLAB_STATE": "/work/.state",
            "LLMLAB_SHARED_CACHE": str(_cache()),
        }
        for name, value in (variables | more).items():
            line += ["--setenv", name, value]
        line += ["--chdir", "/work", "--", sys.executable, "-P", "-m", "llmlab.grade.pods.steps", step]
        return subprocess.run(line, capture_output=True, timeout=timeout)


def _cache() -> Path:
    from llmlab.system.paths import cache_dir

    return cache_dir()
