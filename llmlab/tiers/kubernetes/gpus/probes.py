"""Where the real scheduler puts a Deployment's pods, and what it says of the places where it does not."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from typing import Any

from ....system.waiting import Late, wait
from ..cluster.cluster import Cluster
from ..manifests.manifests import Document
from ..manifests.pods import pods
from ..manifests.refusals import Watch
from ..probes.pods import matching
from .pools import retired

SCHEDULER = "default-scheduler"


def scale(at: Cluster, document: Document, replicas: int) -> None:
    """Give a Deployment so many replicas; those that are too many are not asked to finish."""
    from kubernetes import client

    assert document.namespace is not None
    client.AppsV1Api(at.api).patch_namespaced_deployment(
        document.name, document.namespace, {"spec": {"replicas": replicas}}
    )
    if replicas == 0:
        core = client.CoreV1Api(at.api)

        def gone() -> bool:
            core.delete_collection_namespaced_pod(
                document.namespace, label_selector=matching(document), grace_period_seconds=0
            )
            return not core.list_namespaced_pod(document.namespace, label_selector=matching(document)).items

        wait(f"the end of {document.name}'s pods", gone, 20, where=document.where)


def decided(
    at: Cluster, document: Document, count: int, within: float = 20
) -> dict[str, tuple[str | None, str]]:
    """Pod → (node, the scheduler's reason): of all `count` pods, once the scheduler has looked at each.

    :raises LabError: when the API server refuses them (its words), or when there are not so many in time, at the
        Deployment's line; at no line when the scheduler does not look.
    """
    assert document.namespace is not None
    there: list[Any] = []

    def looked() -> dict[str, tuple[str | None, str]] | None:
        found: dict[str, tuple[str | None, str]] = {}
        there[:] = pods(at, str(document.namespace), matching(document))
        for pod in there:
            if pod.spec.scheduler_name not in (None, SCHEDULER):
                found[pod.metadata.name] = (None, f"no scheduler {pod.spec.scheduler_name} runs here")
                continue
            reason = next(
                (
                    it.message or ""
                    for it in pod.status.conditions or ()
                    if it.type == "PodScheduled" and it.status == "False"
                ),
                "",
            )
            if not pod.spec.node_name and not reason:
                return None
            found[pod.metadata.name] = (pod.spec.node_name, "" if pod.spec.node_name else reason)
        return found if len(found) >= count else None

    try:
        return wait(f"the scheduler's decision on {document.name}", looked, within, never=Watch(at, document))
    except Late as error:
        if len(there) >= count:
            raise
        raise Late(
            f"{document.kind} {document.name} was given {count} replicas, and after {within:.0f} s it has {len(there)} pods.",
            where=document.where,
        ) from error


def settled(
    at: Cluster, document: Document, count: int, within: float = 6
) -> dict[str, tuple[str | None, str]]:
    """The same, giving pods that wait some seconds in which the scheduler may come back to them."""
    try:
        wait(
            "all to be placed", lambda: all(node for node, _ in decided(at, document, count).values()), within
        )
    except Late:
        pass
    return decided(at, document, count)


def short(message: str) -> str:
    """The reason in a scheduler's message, without the counts of nodes that were not asked for."""
    parts = re.split(r", (?=\d+ )", message.split("available:", 1)[-1].split(". ", 1)[0].strip())
    said = [re.sub(r"^\d+ (node\(s\) )?", "", part).rstrip(". ") for part in parts]
    own = [
        reason for reason in said if "unschedulable" not in reason and "didn't satisfy plugin" not in reason
    ]
    return "; ".join(dict.fromkeys(own or said))


def on_node(body: dict[str, Any], node: str, name: str) -> dict[str, Any]:
    """A pod of a Deployment's template that may go to one node only: what the scheduler says then is about that node."""
    template = copy.deepcopy(body["spec"]["template"])
    spec = template["spec"]
    terms = (
        spec.setdefault("affinity", {})
        .setdefault("nodeAffinity", {})
        .setdefault("requiredDuringSchedulingIgnoredDuringExecution", {})
        .setdefault("nodeSelectorTerms", [])
    )
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    if terms:
        for term in terms:
            term["matchFields"] = [*term.get("matchFields", []), *here["matchFields"]]
    else:
        terms.append(here)
    spec.pop("topologySpreadConstraints", None)
    for key in ("serviceAccountName", "serviceAccount"):  # it is not asked where its account is
        spec.pop(key, None)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"placement": "probe"}},
        "spec": spec,
    }


def ended(machine: str) -> str | None:
    """The day on which a machine type ended, if it has."""
    return retired().get(machine)


def words(found: dict[str, tuple[str | None, str]]) -> str:
    """Where pods went, or why not."""
    return "; ".join(sorted({node or f"Pending: {short(reason)}" for node, reason in found.values()}))


def nodes_of(found: dict[str, tuple[str | None, str]]) -> Sequence[str]:
    """The nodes that have one."""
    return [node for node, _ in found.values() if node]
