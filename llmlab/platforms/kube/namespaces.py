"""The end of a namespace of ours: emptied and let go at once, where its controller would wait five seconds before it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cluster import ask
from .waiting import wait

if TYPE_CHECKING:
    from .cluster import Cluster

DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def delete(cluster: Cluster, name: str, within: float) -> None:
    """Delete a namespace whose pods are gone. It is whole again for nobody: from now on nothing can be made in it.

    What it holds is deleted kind by kind, as the namespace's controller does (which begins after a grace period that
    no flag changes), and awaited; only then is the namespace let go. Where that is not allowed, it is the controller's.

    :raises LabError: when something in it does not go.
    """
    from kubernetes import client

    client.CoreV1Api(cluster.api).delete_namespace(name)
    if cluster.driver == "context":
        return
    try:
        left = [path for path in _collections(cluster, name) if _deleted(cluster, path)]
        wait(f"the end of what is in {name}", lambda: not any(_held(cluster, path) for path in left), within)
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": name},
            "spec": {"finalizers": []},
        }
        ask(cluster.api, "PUT", f"/api/v1/namespaces/{name}/finalize", body=body)
    except client.ApiException:
        return


def _collections(cluster: Cluster, name: str) -> list[str]:
    """Where the API server keeps what can be in a namespace and can be deleted."""
    found = []
    for top in ("/api", "/apis"):
        groups = ask(cluster.api, "GET", top, accept=DISCOVERY) or {}
        for group in groups.get("items", []):
            # The first version is the preferred one; all versions show the same objects.
            for version in group["versions"][:1]:
                own = group["metadata"].get("name")
                base = f"/apis/{own}/{version['version']}" if own else f"/api/{version['version']}"
                found += [
                    f"{base}/namespaces/{name}/{one['resource']}"
                    for one in version.get("resources", [])
                    if one["scope"] == "Namespaced" and {"list", "deletecollection"} <= set(one["verbs"])
                ]
    return found


def _deleted(cluster: Cluster, path: str) -> bool:
    """Delete a collection; whether there was anything in it."""
    said: dict[str, Any] | None = ask(
        cluster.api, "DELETE", path, query=[("gracePeriodSeconds", "0"), ("propagationPolicy", "Background")]
    )
    return bool((said or {}).get("items"))


def _held(cluster: Cluster, path: str) -> bool:
    """Whether something is still in it: a finalizer holds it."""
    return bool((ask(cluster.api, "GET", path, query=[("limit", "1")]) or {}).get("items"))
