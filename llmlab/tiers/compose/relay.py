"""A way to any port inside a project's networks, from a machine that cannot route there (Docker Desktop cannot).

One HAProxy of ours joins the networks and passes each request on to the address that its headers name.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any

import httpx

from ...errors import LabError
from ...system.local_client import local_client
from ..docker.container import Container
from ..docker.daemon import client, speaking
from ..docker.owning import PROJECT, Claim

IMAGE = "haproxy:3.0"
PORT = 8000
# `set-dst` with a server at 0.0.0.0:0 is HAProxy's forward to whatever address was set (its configuration manual,
# "http-request set-dst"). Only private addresses: this must not become a way out into the world.
CONFIG = f"""
defaults
    mode http
    retries 0
    timeout connect 3s
    timeout client 120s
    timeout server 120s
frontend relay
    bind :{PORT}
    http-request deny unless {{ req.hdr(x-to),ipmask(32) -m ip 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 }}
    http-request set-dst req.hdr(x-to)
    http-request set-dst-port req.hdr(x-to-port),add(0)
    default_backend there
backend there
    server any 0.0.0.0:0
"""


class Relay:
    """Reaches containers of one Compose project; its own container carries the project's claim.

    :param claim: the project's; the relay ends with it at the latest.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.container = Container(
            IMAGE,
            ["sh", "-c", "printf '%s' \"$RELAY\" > /tmp/relay.cfg && exec haproxy -db -f /tmp/relay.cfg"],
            claim=claim,
            publish=PORT,
            environment={"RELAY": CONFIG},
            tmpfs={"/tmp": ""},
            stop_signal="SIGTERM",
        )
        self.address = self.container.address
        self._joined: set[str] = set()
        self.http = local_client(timeout=10, headers={"Connection": "close"})

    def join(self) -> None:
        """Join the networks of the project that it has not joined yet."""
        from docker.errors import APIError

        with speaking():
            for network in client().networks.list(filters={"label": f"{PROJECT}={self.claim.name}"}):
                if network.id not in self._joined:
                    with contextlib.suppress(APIError):  # removed meanwhile
                        network.connect(self.container.raw)
                        self._joined.add(str(network.id))

    def get(self, container: Any, port: int, path: str, **more: Any) -> httpx.Response:
        """GET a path of a container's port.

        :param more: as `httpx.Client.get` takes it (headers, params, timeout).
        :raises LabError: when it has no address, or nothing answers there (HAProxy's own 503 counts as no answer).
        """
        self.join()
        headers = {**more.pop("headers", {}), "X-To": address(container), "X-To-Port": str(port)}
        try:
            reply = self.http.get(self.address + path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise LabError(f"{container.name} does not answer on port {port}: {error}.") from None
        if reply.status_code in (503, 504) and b"No server is available" in reply.content:
            raise LabError(f"{container.name} does not answer on port {port}.")
        return reply

    def close(self) -> None:
        """End it; may be called twice."""
        self.http.close()
        self.container.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def address(container: Any) -> str:
    """The container's address in one of its networks, as the daemon says it now.

    :raises LabError: when it has none: it does not run.
    """
    from docker.errors import NotFound

    try:
        with speaking():
            container.reload()
    except NotFound:
        raise LabError(f"{container.name} is gone.") from None
    for network in (container.attrs["NetworkSettings"]["Networks"] or {}).values():
        if network.get("IPAddress"):
            return str(network["IPAddress"])
    raise LabError(f"{container.name} has no address: it does not run.")
