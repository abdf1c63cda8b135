"""Image archives made without any image tool: files in one layer on nothing else, as `docker load` and `ctr images import` read them."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ....errors import LabError

#: The machine names of Go and of images, by those of the kernel.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def libraries(program: Path) -> list[Path]:
    """The shared libraries that a program is loaded with, the loader included; none for a static one.

    :raises LabError: when one of them is missing on this machine.
    """
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True)
    if done.returncode:  # "not a dynamic executable"
        return []
    found = []
    for line in done.stdout.splitlines():
        words = line.split()
        if "not found" in line:
            raise LabError(
                f"{program.name} lacks the library {words[0]} here.",
                where=str(program),
                fix="uv run llmlab engine build",
            )
        path = next((word for word in words if word.startswith("/")), None)
        if path:
            found.append(Path(path))
    return found


def write(
    into: Path,
    names: Sequence[str],
    files: Mapping[str, Path | bytes],
    config: Mapping[str, Any],
    *,
    machine: str,
) -> None:
    """Write an archive (the `docker save` format): the same bytes for the same files.

    :param names: image names with tags.
    :param files: path in the image → a file of this machine, or its content; with a / at its end, a folder for everybody.
    :param config: what a Dockerfile says: Entrypoint, Cmd, Env, User, WorkingDir, as the image specification names them.
    :param machine: as `platform.machine()` says it.
    """
    own = uuid.uuid4().hex[:8]  # two that make the same one do not meet
    layer, part = (into.with_name(f".{into.name}.{own}.{suffix}") for suffix in ("layer", "part"))
    try:
        with tarfile.open(layer, "w", format=tarfile.PAX_FORMAT) as tar:
            for name in sorted(_folders(files)):
                tar.addfile(_member(name, folder=True))
            for name, what in sorted(files.items()):
                if name.endswith("/"):
                    tar.addfile(_member(name, folder=True, mode=0o1777))
                else:
                    _put(tar, name, what)
        digest = _sha256(layer)
        described = {
            "architecture": ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created_by": "llmlab", "created": "1970-01-01T00:00:00Z"}],
            "created": "1970-01-01T00:00:00Z",
        }
        text = json.dumps(described, sort_keys=True).encode()
        about = hashlib.sha256(text).hexdigest()
        manifest = [{"Config": f"{about}.json", "RepoTags": list(names), "Layers": [f"{digest}/layer.tar"]}]
        with tarfile.open(part, "w") as tar:
            _put(tar, f"{digest}/layer.tar", layer)
            _put(tar, f"{about}.json", text)
            _put(tar, "manifest.json", json.dumps(manifest).encode())
        part.replace(into)
    finally:
        layer.unlink(missing_ok=True)
        part.unlink(missing_ok=True)


def _folders(files: Mapping[str, Any]) -> set[str]:
    return {str(above) for name in files for above in Path(name.lstrip("/")).parents if str(above) != "."}


def _member(name: str, *, folder: bool = False, size: int = 0, mode: int = 0o755) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name.strip("/"))
    info.type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    info.mode, info.size = mode, size
    return info


def _put(tar: tarfile.TarFile, name: str, what: Path | bytes) -> None:
    if isinstance(what, bytes):
        tar.addfile(_member(name, size=len(what), mode=0o644), io.BytesIO(what))
        return
    runs = what.stat().st_mode & 0o111
    with what.open("rb") as file:
        tar.addfile(_member(name, size=what.stat().st_size, mode=0o755 if runs else 0o644), file)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
