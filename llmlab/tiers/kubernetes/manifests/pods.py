"""Pods as the API server lists them: those that stay, those that are ready, those that a Service leads to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .trouble import ready

if TYPE_CHECKING:
    from ..cluster.api_client import HasApi


def pods(cluster: HasApi, namespace: str, selector: str | None = None) -> list[Any]:
    """Pods that are not on their way out, by age."""
    from kubernetes import client

    found = client.CoreV1Api(cluster.api).list_namespaced_pod(namespace, label_selector=selector or "").items
    return sorted(
        (pod for pod in found if pod.metadata.deletion_timestamp is None),
        key=lambda pod: pod.metadata.creation_timestamp,
    )


def ready_pods(cluster: HasApi, namespace: str, selector: str | None = None) -> list[Any]:
    """Those of them that are ready."""
    return [pod for pod in pods(cluster, namespace, selector) if ready(pod)]


def endpoints(cluster: HasApi, namespace: str, service: str) -> dict[str, bool]:
    """Pod name → ready, as the Service's EndpointSlices list them."""
    from kubernetes import client

    slices = client.DiscoveryV1Api(cluster.api).list_namespaced_endpoint_slice(
        namespace, label_selector=f"kubernetes.io/service-name={service}"
    )
    return {
        endpoint.target_ref.name: bool(endpoint.conditions.ready)
        for it in slices.items
        for endpoint in it.endpoints or ()
        if endpoint.target_ref is not None
    }


def restarts(pod: Any) -> int:
    """How often its containers were started again."""
    return sum(status.restart_count for status in pod.status.container_statuses or ())
