"""Nodes that only the API server knows: the real scheduler places pods on them, and KWOK says that they run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....serve.ports import free_port
from ....system.waiting import wait
from ..programs import binaries
from .processes import Programs

if TYPE_CHECKING:
    from ..cluster.cluster import Cluster

MARK = ("kwok.x-k8s.io/node", "fake")
CAPACITY = {"cpu": "16", "memory": "64Gi", "pods": "110"}


def flags(kubeconfig: Path, port: int) -> list[str]:
    """What follows `kwok`: it looks after the nodes with our mark, and no others."""
    return [
        f"--kubeconfig={kubeconfig}",
        f"--manage-nodes-with-annotation-selector={MARK[0]}={MARK[1]}",
        "--node-ip=10.255.0.1",
        f"--server-address=127.0.0.1:{port}",
        "--node-lease-duration-seconds=40",
    ]


class FakeNodes:
    """Fake nodes of one cluster, real or simulated; they go with `close`, with their owner, or with the cluster.

    Only nodes that carry KWOK's mark are touched: a real node's pods stay real.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster  # whose nodes they are
        self._names: list[str] = []
        self._programs = Programs(cluster.folder, f"fake nodes of {cluster.name}")
        kwok = binaries.bring(["kwok"])["kwok"]
        self._programs.start("kwok", kwok, *flags(cluster.kubeconfig, free_port()))

    def add(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        capacity: Mapping[str, str] | None = None,
    ) -> None:
        """Add a node.

        :param taints: key, value, effect, as `kubectl get node -o yaml` shows them.
        :param capacity: resources beside or instead of 16 CPUs, 64 GiB and 110 pods.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        has = {**CAPACITY, **(capacity or {})}
        always = {
            "kubernetes.io/hostname": name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "type": "kwok",
        }
        node: dict[str, Any] = {
            "metadata": {"name": name, "annotations": dict([MARK]), "labels": {**always, **(labels or {})}},
            "spec": {"taints": [dict(taint) for taint in taints]},
            "status": {"allocatable": has, "capacity": has},
        }
        core.create_node(node)
        core.patch_node_status(name, {"status": node["status"]})
        self._names.append(name)

    def ready(self, within: float = 20) -> None:
        """Wait until the cluster takes its nodes for ready: before, each has a taint that no pod tolerates.

        :raises LabError: when that does not come to be, naming them.
        :raises Unavailable: when KWOK ended, with its last words.
        """
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)

        def all_ready() -> bool:
            own = [
                node
                for node in core.list_node(label_selector="type=kwok").items
                if node.metadata.name in self._names
            ]
            keys = {taint.key for node in own for taint in node.spec.taints or ()}
            ready = all(
                any(it.type == "Ready" and it.status == "True" for it in node.status.conditions or ())
                for node in own
            )
            return ready and not keys & {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}

        what = f"the fake nodes {', '.join(self._names)}"
        wait(what, self._programs.checked(all_ready), within, trouble=self._programs.all_words)

    def remove(self, *names: str) -> None:
        """Take nodes away (default: all), with the pods on them."""
        from kubernetes import client

        core = client.CoreV1Api(self.cluster.api)
        for name in names or tuple(self._names):
            try:
                core.delete_node(name)
            except client.ApiException as error:
                if error.status != 404:
                    raise
            # The cluster itself comes to them after a minute.
            for pod in core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}").items:
                with contextlib.suppress(client.ApiException):  # gone meanwhile
                    core.delete_namespaced_pod(
                        pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0
                    )
            if name in self._names:
                self._names.remove(name)

    def close(self) -> None:
        """End KWOK; nodes that are still there become NotReady, as lost ones do."""
        self._programs.kill()
