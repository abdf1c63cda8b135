"""What stands behind the door for a while in place of the servers, and tells what reached it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ...errors import LabError
from ...system.local_client import local_client
from ...system.waiting import wait
from ..kubernetes.cluster.cluster import Cluster
from ..kubernetes.manifests.trouble import trouble
from ..kubernetes.programs import images

IMAGE = "llmlab/witness:1"
#: The name of its Deployment, its Service, and the model that its answers name.
NAME = "witness"
_LABELS = {"app": NAME}


class Witnessed(msgspec.Struct, frozen=True):
    """One request as it arrived."""

    id: str  # as its body named itself
    method: str
    path: str
    host: str
    headers: Mapping[str, Sequence[str]]
    bytes: int  # of its body


class Witness:
    """A pod that does what a request's body asks of it (`recipes/witness`), in the namespace of the servers.

    :raises LabError: when its pod does not become ready.
    """

    def __init__(self, cluster: Cluster, namespace: str, within: float = 60) -> None:
        from kubernetes import client

        self.cluster = cluster  # where its pod runs
        self.namespace = namespace  # that of the servers
        cluster.load(IMAGE)
        apps, core = client.AppsV1Api(cluster.api), client.CoreV1Api(cluster.api)
        apps.create_namespaced_deployment(namespace, _deployment())
        ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tell", "port": 8081}]
        core.create_namespaced_service(
            namespace, {"metadata": {"name": NAME}, "spec": {"selector": _LABELS, "ports": ports}}
        )
        self._told = cluster.address(namespace, NAME, 8081)

        def ready() -> bool:
            with contextlib.suppress(LabError):
                return self.seen() is not None
            return False

        wait("the witness", ready, within, trouble=lambda: trouble(cluster, namespace, f"app={NAME}"))

    def seen(self) -> list[Witnessed]:
        """The requests so far, in the order in which they came.

        :raises LabError: when it does not answer.
        """
        import httpx

        try:
            with local_client(timeout=5) as client:
                return msgspec.json.decode(client.get(f"{self._told}/seen").content, type=list[Witnessed])
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            raise LabError(f"The witness does not answer: {error}") from None

    def of(self, name: str) -> list[Witnessed]:
        """Those whose body named itself so."""
        return [request for request in self.seen() if request.id == name]

    @contextlib.contextmanager
    def behind(self, *services: str) -> Iterator[None]:
        """It alone is behind these Services; afterwards the pods that were are again. What has begun goes on in both directions."""
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        before = {name: core.read_namespaced_service(name, self.namespace) for name in services}
        for name in services:
            self._select(core, name, _LABELS)
        try:
            yield
        finally:
            for name, service in before.items():
                self._select(core, name, service.spec.selector)

    def _select(self, core: Any, name: str, labels: Mapping[str, str]) -> None:
        """Not merged into the selector that there is: in place of it."""
        patch = [{"op": "replace", "path": "/spec/selector", "value": dict(labels)}]
        core.patch_namespaced_service(name, self.namespace, patch)


def _deployment() -> dict[str, Any]:
    container = {
        "name": NAME,
        "image": images.named(IMAGE).name,
        "imagePullPolicy": "Never",
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    }
    spec = {
        "containers": [container],
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
    }
    return {
        "metadata": {"name": NAME},
        "spec": {
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": spec},
        },
    }
