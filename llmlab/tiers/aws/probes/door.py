"""What was created, in use: HAProxy from the load balancer's objects, in front of llama-servers as the user data asks for them."""

from __future__ import annotations

import json
import os
import ssl
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from ....errors import LabError
from ....system.local_client import local_client
from ....system.scratch import Scratch
from ...compose.project import Project
from ...docker.images import LLAMA_SERVER
from ..account import Account
from ..door import Door, door
from ..inventory import Inventory, LoadBalancer
from .first_boot import DockerRun, FirstBoot

#: What stands in for the load balancer and its instances, as a verdict says it.
STANDS_IN = "HAProxy, written from the objects that were created, and containers that stand for the instances"
IMAGE = "haproxy:3.0"
MOST = 2  # instances that are started, and one of each target group at least; they are all alike


def _some(targets: Sequence[Sequence[str]]) -> list[str]:
    """One instance of each target group in turn, until there are enough."""
    turns = (instance for turn in zip_longest(*targets) for instance in turn if instance is not None)
    return list(dict.fromkeys(turns))[: max(MOST, len(targets))]


class Front:
    """The door and the servers behind it, up. Ends with its context.

    :raises LabError: when nothing stands behind the door, or it does not come up, with the words of what did not.
    """

    def __init__(
        self, have: Inventory, balancer: LoadBalancer, account: Account, boot: FirstBoot, wanted: DockerRun
    ) -> None:
        self.account = account  # whose certificate and key it has
        self._scratch = Scratch("files of a door")
        self.folder = self._scratch.path  # its files; gone when it ends
        self.project: Project | None = None  # the containers; None: they are not up
        try:
            instances = _some([group.targets for group in have.target_groups])
            if not instances:
                raise LabError("No instance is registered in any target group: the door leads nowhere.")
            #: HAProxy, configured as the load balancer is.
            self.door: Door = door(have, balancer, wanted.behind, instances)
            self._write(instances, boot, wanted)
            self.project = Project(self.folder / "compose.yaml", own_ports=True, vet=False)
            self.project.up()
        except BaseException:
            self.close()
            raise

    def _write(self, instances: list[str], boot: FirstBoot, wanted: DockerRun) -> None:
        volumes = []
        for number, (source, target) in enumerate(wanted.mounts):
            into = self.folder / "machine" / str(number)
            if boot.take(source, into):
                volumes.append(f"./machine/{number}/{Path(source).name}:{target}:ro")
        server = {
            "image": LLAMA_SERVER,
            "command": list(wanted.command),
            "volumes": volumes,
            "environment": wanted.env,
            "mem_limit": "1g",
        }
        inside = self.folder / "door"
        inside.mkdir()
        (inside / "haproxy.cfg").write_text(self.door.config)
        (inside / "door.pem").write_text(self.account.certificate + self.account.private_key)
        for path in (inside, *inside.iterdir()):
            path.chmod(0o755 if path.is_dir() else 0o644)
        services: dict[str, Any] = {instance: server for instance in instances}
        services["door"] = {
            "image": IMAGE,
            "command": ["haproxy", "-W", "-db", "-f", "/door/haproxy.cfg"],
            "volumes": ["./door:/door:ro"],
            "ports": [str(port) for port in self.door.ports.values()],
            "mem_limit": "256m",
        }
        (self.folder / "compose.yaml").write_text(json.dumps({"services": services}))
        os.chmod(self.folder, 0o755)

    def ask(
        self,
        path: str = "/v1/completions",
        *,
        key: str | None = None,
        port: int = 443,
        timeout: float = 30,
        **body: Any,
    ) -> httpx.Response:
        """A request through a listener, as a client of the domain, whose certificate is verified.

        :raises httpx.HTTPError: as the client meets it.
        """
        assert self.project is not None
        found = self.project.published("door", self.door.ports[port])
        if found is None:
            raise LabError(f"The door has no port {port}.")
        local = found.rpartition(":")[2]
        trust = ssl.create_default_context(cadata=self.account.certificate)
        headers = {"Host": self.account.domain} | ({"Authorization": f"Bearer {key}"} if key else {})
        secure = port in self.door.secure
        with local_client(timeout=timeout, verify=trust, headers=headers) as client:
            request = client.build_request(
                "POST" if body else "GET",
                f"{'https' if secure else 'http'}://127.0.0.1:{local}{path}",
                json=body or None,
                extensions={"sni_hostname": self.account.domain} if secure else {},
            )
            return client.send(request)

    def ready(self, port: int, within: float = 40) -> None:
        """Wait until the door has a healthy target.

        :raises LabError: when it has none in time: with the last answer, and what the servers said last.
        """
        deadline, said = time.monotonic() + within, ""
        while time.monotonic() < deadline:
            try:
                reply = self.ask("/health", port=port, timeout=5)
                if reply.status_code == 200:
                    return
                said = f"HTTP {reply.status_code}"
            except httpx.HTTPError as error:
                said = str(error)
            time.sleep(0.3)
        raise LabError(
            f"The door has no healthy target after {within:.0f} s: {said}.\n" + "\n".join(self.said())
        )

    def said(self) -> list[str]:
        """The last lines of the first server, and of the door."""
        assert self.project is not None
        lines = []
        for container in self.project.containers()[:1] + self.project.containers("door"):
            tail = container.logs(tail=6).decode(errors="replace").strip().splitlines()
            lines += [
                f"{container.labels.get('com.docker.compose.service')} said last:",
                *(f"  {it[:200]}" for it in tail),
            ]
        return lines

    def close(self) -> None:
        """End all of it; may be called twice."""
        if self.project is not None:
            self.project.down()
        self._scratch.close()

    def __enter__(self) -> Front:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
