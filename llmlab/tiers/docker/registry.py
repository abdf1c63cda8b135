"""Digests for images: an image has one only after a registry has seen it, so a registry on loopback sees those made here.

What was pulled has its digest already. The registry is Debian's docker-registry and runs only while an image is pushed.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import httpx

from ...errors import LabError
from ...system.debian import unpack
from ...system.local_client import local_client
from ...system.owned import Process
from .daemon import client, speaking
from .images import ensure

PORT = 5055  # part of every name pinned here, so it does not change


def pin(name: str) -> str:
    """The name by which exactly this image is built on: `NAME@sha256:…`, for FROM.

    :raises LabError: when the image is not here and cannot be brought, or has no digest and cannot be given one.
    """
    ensure([name])
    daemon = client()
    repository, _, tag = name.rpartition(":")
    with speaking():
        image = daemon.images.get(name)
        digest = _digest(image.attrs, repository) or _digest(image.attrs, f"localhost:{PORT}/{repository}")
        if digest:
            return digest
        local = f"localhost:{PORT}/{repository}"
        image.tag(local, tag)
        with _Registry():
            said = daemon.images.push(local, tag)
        image.reload()
        digest = _digest(image.attrs, local)
    if not digest:
        last = str(said).strip().splitlines()[-1:]
        raise LabError(f"{name} got no digest.", where=last[0] if last else local)
    return digest


def _digest(attributes: dict[str, list[str] | None], repository: str) -> str | None:
    """`debian@sha256:…` of the names that the daemon knows for an image."""
    for digest in attributes.get("RepoDigests") or []:
        if digest.partition("@")[0] == repository:
            return digest
    return None


class _Registry:
    """A registry on loopback, as an owned process, with its files in a folder that goes with it."""

    def __enter__(self) -> _Registry:
        program = unpack("docker-registry") / "usr/bin/docker-registry"
        self._folder = Path(tempfile.mkdtemp(prefix="llmlab-registry-"))
        settings = self._folder / "registry.yml"
        settings.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {self._folder}/data}}}}\n"
            f"http: {{addr: '127.0.0.1:{PORT}'}}\n"
        )
        log = self._folder / "log"
        try:
            self._process = Process(
                [str(program), "serve", str(settings)], label="registry on loopback", log=log
            )
            deadline = time.monotonic() + 20
            while not _answers():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self._process.kill()
                    last = log.read_text(errors="replace").strip()[-300:] if log.exists() else ""
                    raise LabError(f"The registry did not start: {last}", where=f"127.0.0.1:{PORT}")
                time.sleep(0.05)
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _answers() -> bool:
    try:
        with local_client(timeout=2) as client:
            return client.get(f"http://127.0.0.1:{PORT}/v2/").status_code == 200
    except httpx.HTTPError:
        return False
