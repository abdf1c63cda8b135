"""Whose a container, network, volume or image is: one label, registered before anything carries it."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import Unavailable
from ...system import owned
from .daemon import address, client, speaking

LABEL = "org.llmlab.owner"
PROJECT = "com.docker.compose.project"


class Claim:
    """A name under which things are made in the daemon; closing it removes them all.

    The name is a valid Compose project name, so what Compose makes under it is found by Compose's own label.
    """

    def __init__(self, label: str) -> None:
        self.name = f"llmlab-{uuid.uuid4().hex[:10]}"
        self.labels = {LABEL: self.name}
        self._daemon = address()
        self._entry: Path | None = owned.register("docker", label, name=self.name, daemon=self._daemon)

    def close(self) -> None:
        """Remove everything that carries the name; may be called twice.

        When the daemon is gone the entry stays: `llmlab clean` ends what it names once the daemon is back.
        """
        if self._entry is not None:
            entry, self._entry = self._entry, None
            with contextlib.suppress(Unavailable):
                end({"name": self.name, "daemon": self._daemon})
                owned.forget(entry)

    def __enter__(self) -> Claim:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def end(data: dict[str, Any]) -> None:
    """Remove containers, then networks, volumes and images of one name.

    :raises LabError: when the daemon does not answer: the entry stays, so that `llmlab clean` can try again.
    """
    from docker.errors import APIError, NotFound

    daemon, name = client(data.get("daemon")), data["name"]
    with speaking():
        for label in (f"{LABEL}={name}", f"{PROJECT}={name}"):
            wanted: dict[str, Any] = {"label": label}
            for container in daemon.containers.list(all=True, filters=wanted, ignore_removed=True):
                with contextlib.suppress(NotFound, APIError):
                    container.remove(force=True, v=True)
            for network in daemon.networks.list(filters=wanted):
                with contextlib.suppress(NotFound):
                    network.remove()
            for volume in daemon.volumes.list(filters=wanted):
                with contextlib.suppress(NotFound):
                    volume.remove(force=True)
            for image in daemon.images.list(filters=wanted):
                with contextlib.suppress(NotFound, APIError):  # another image may still build on it
                    for tag in image.tags or [str(image.id)]:
                        daemon.images.remove(tag, force=True)


owned.ENDERS["docker"] = end
