"""The door that a controller makes of a Gateway, as a client outside of the cluster sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from ...errors import LabError
from ...system.named_client import named_client
from ...system.waiting import wait
from ..kubernetes.addons.envoy_gateway import NAMESPACE

if TYPE_CHECKING:
    from ..kubernetes.cluster.cluster import Cluster

CONNECT = 5.0  # seconds
_LABELS = "gateway.envoyproxy.io/owning-gateway"


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """One port of a Gateway: where it answers, and how it is spoken to."""

    address: str  # as this host reaches it
    port: int  # of the address
    authority: bytes | None = None  # the certificate that a client trusts (PEM); None: it speaks plain HTTP

    @property
    def base(self) -> str:
        """The URL that its requests go to, whatever host they name."""
        return f"{'http' if self.authority is None else 'https'}://{self.address}:{self.port}"

    def client(self, host: str, *, sni: str | None = None, timeout: float = 10) -> httpx.Client:
        """A client of the door that names this host; over TLS it verifies the certificate for it.

        :param sni: the name that is said before the certificate is shown; None: the host.
        :param timeout: seconds.
        """
        # A connection begun before kube-proxy has heard of the proxy hangs for good: another one does not.
        patience = httpx.Timeout(timeout, connect=min(timeout, CONNECT))
        return named_client(self.base, host, authority=self.authority, sni=sni, timeout=patience)

    def ask(
        self, method: str, path: str, host: str, *, sni: str | None = None, timeout: float = 10, **more: Any
    ) -> httpx.Response:
        """One request on a connection of its own.

        :param more: as `httpx.request` takes it.
        :raises httpx.HTTPError: when the door does not answer, or its certificate is not for that host.
        """
        with self.client(host, sni=sni, timeout=timeout) as client:
            return client.request(method, path, **more)


def door(
    cluster: Cluster,
    gateway: str,
    namespace: str,
    *,
    port: int = 80,
    authority: bytes | None = None,
    within: float = 60,
) -> FrontDoor:
    """The door of a Gateway, as soon as its proxy is ready.

    :param port: that of one of its listeners.
    :param within: seconds.
    :raises LabError: when it has none by then.
    """
    labels = f"{_LABELS}-name={gateway},{_LABELS}-namespace={namespace}"
    service = wait(f"the door of Gateway {gateway}", lambda: _service(cluster, labels, port), within)
    url = urlsplit(cluster.address(NAMESPACE, service, port))
    if url.hostname is None or url.port is None:
        raise LabError(f"Gateway {gateway} has no address: {url.geturl()}")
    return FrontDoor(url.hostname, url.port, authority)


def _service(cluster: Cluster, labels: str, port: int) -> str | None:
    """The name of its Service, once that has the port and a proxy that is ready."""
    from kubernetes import client

    found = client.CoreV1Api(cluster.api).list_namespaced_service(NAMESPACE, label_selector=labels).items
    for service in found:
        slices = client.DiscoveryV1Api(cluster.api).list_namespaced_endpoint_slice(
            NAMESPACE, label_selector=f"kubernetes.io/service-name={service.metadata.name}"
        )
        ready = [
            endpoint for it in slices.items for endpoint in it.endpoints or () if endpoint.conditions.ready
        ]
        if ready and port in [it.port for it in service.spec.ports]:
            return str(service.metadata.name)
    return None
