"""Waiting for what a cluster does in its own time: on a condition, with a deadline and a name for what was awaited."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ....errors import LabError
from .trouble import ready

if TYPE_CHECKING:
    from ..cluster.api_client import HasApi

T = TypeVar("T")
STEP = 0.1  # seconds between two looks


class Late(LabError):
    """It did not come before the deadline."""


def wait(
    what: str,
    condition: Callable[[], T | None],
    within: float,
    *,
    trouble: Callable[[], Sequence[str]] | None = None,
    never: Callable[[], LabError | None] | None = None,
    where: str | None = None,
) -> T:
    """What `condition` gives as soon as it is true.

    :param within: seconds.
    :param trouble: what else to say when it does not come to be.
    :param never: asked after each look that saw nothing; the error that says why it will never come ends the wait.
    :param where: file and line of what is awaited.
    :raises Late: at the deadline, with what `trouble` says.
    :raises LabError: what `never` gave.
    """
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        if never is not None and (why := never()) is not None:
            raise why
        if time.monotonic() > deadline:
            said = "\n".join(trouble()) if trouble else ""
            raise Late(
                f"Waited {within:.0f} s for {what}, and it did not come.{chr(10) if said else ''}{said}",
                where=where,
            )
        pause.wait(STEP)


def pods(cluster: HasApi, namespace: str, selector: str | None = None) -> list[Any]:
    """Pods that are not on their way out, by age."""
    from kubernetes import client

    found = client.CoreV1Api(cluster.api).list_namespaced_pod(namespace, label_selector=selector or "").items
    return sorted(
        (one for one in found if one.metadata.deletion_timestamp is None),
        key=lambda one: one.metadata.creation_timestamp,
    )


def ready_pods(cluster: HasApi, namespace: str, selector: str | None = None) -> list[Any]:
    """Those of them that are ready."""
    return [one for one in pods(cluster, namespace, selector) if ready(one)]


def endpoints(cluster: HasApi, namespace: str, service: str) -> dict[str, bool]:
    """Pod name → ready, as the Service's EndpointSlices list them."""
    from kubernetes import client

    slices = client.DiscoveryV1Api(cluster.api).list_namespaced_endpoint_slice(
        namespace, label_selector=f"kubernetes.io/service-name={service}"
    )
    return {
        one.target_ref.name: bool(one.conditions.ready)
        for it in slices.items
        for one in it.endpoints or ()
        if one.target_ref is not None
    }


def restarts(pod: Any) -> int:
    """How often its containers were started again."""
    return sum(one.restart_count for one in pod.status.container_statuses or ())
