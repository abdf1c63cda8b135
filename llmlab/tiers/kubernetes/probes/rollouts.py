"""A deployment that is changed while people use it: rolled out, its pods evicted, another image, more of it and less."""

from __future__ import annotations

import copy
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx

from ....errors import LabError
from ....load.users import Users
from ....records.schema import Sample
from ....system.local_client import local_client
from ....system.waiting import wait
from ..cluster.cluster import Cluster
from ..manifests.applied import Applied
from ..manifests.manifests import Document
from ..manifests.pods import pods, ready_pods
from ..manifests.trouble import trouble
from .pods import matching

#: Kinds that change how many pods there are.
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject", "TriggerAuthentication")
LONG, SHORT, EVERY = 400, 60, 3  # tokens of a reply; every third is long
PATIENCE = 40.0  # seconds after which a user gives up


def tokens(n: int) -> int:
    """How long the n-th reply is: most are short, every third takes several seconds."""
    return LONG if n % EVERY == EVERY - 1 else SHORT


def users(stack: Applied, service: str, count: int, namespace: str) -> Users:
    """Users of a Service that answers, in closed loops; a request that fails is not tried again.

    :raises LabError: when nobody answers within half a minute.
    """
    address = stack.cluster.address(namespace, service)

    def answers() -> bool:
        try:
            with local_client(timeout=1) as client:
                return client.get(f"{address}/health").is_success
        except httpx.HTTPError:
            return False

    # Pods are ready before kube-proxy has heard of them, and a connection begun before that hangs for good.
    wait(f"an answer from {address}", answers, 30, trouble=lambda: trouble(stack.cluster, namespace))
    return Users(address, count, tokens=tokens, timeout=PATIENCE)


def answered(them: Users, count: int, within: float = 30) -> None:
    """Wait until so many more requests were answered in full.

    :raises LabError: when they are not.
    """
    before = sum(sample.ok for sample in list(them.samples))
    wait(
        f"the first replies from {them.url}",
        lambda: sum(sample.ok for sample in list(them.samples)) >= before + count,
        within,
        trouble=lambda: [f"{losses(list(them.samples))}, {them.open} open"],
    )


def losses(samples: Sequence[Sample]) -> str:
    """How many requests failed and how, in words."""
    bad = Counter((sample.error or "no reply").split(":")[0] for sample in samples if not sample.ok)
    how = ", ".join(f"{count} × {why}" for why, count in bad.most_common(3))
    return f"{sum(bad.values())} of {len(samples)} requests failed" + (f" ({how})" if bad else "")


def roll(stack: Applied, document: Document, within: float) -> float:
    """`kubectl rollout restart`, and wait until it is rolled out.

    :return: seconds.
    :raises LabError: at the deadline, with what the pods say.
    """
    from kubernetes import client

    assert document.namespace is not None
    began = time.monotonic()
    stamp = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": str(time.time())}}}
    client.AppsV1Api(stack.cluster.api).patch_namespaced_deployment(
        document.name, document.namespace, {"spec": {"template": stamp}}
    )
    stack.wait_for(document, within)
    return time.monotonic() - began


def alone(stack: Applied, document: Document, count: int) -> bool:
    """Whether there are no pods but `count` ready ones: those on their way out are gone."""
    from kubernetes import client

    assert document.namespace is not None
    core, label = client.CoreV1Api(stack.cluster.api), matching(document)
    there = core.list_namespaced_pod(document.namespace, label_selector=label).items
    return len(there) == count == len(ready_pods(stack.cluster, document.namespace, label))


def only(stack: Applied, document: Document, count: int, within: float) -> None:
    """Wait for that.

    :raises LabError: at the deadline, with what the pods say.
    """
    wait(
        "the end of the old pods",
        lambda: alone(stack, document, count),
        within,
        trouble=lambda: stack.trouble(document),
    )


def evict(cluster: Cluster, namespace: str, pod: str) -> int:
    """Ask for the eviction of a pod, as `kubectl drain` does.

    :return: the API server's HTTP status: 201 it goes; 429 a PodDisruptionBudget forbids it now; 404 it is gone.
    """
    from kubernetes import client

    body = {"metadata": {"name": pod, "namespace": namespace}}
    try:
        client.CoreV1Api(cluster.api).create_namespaced_pod_eviction(pod, namespace, body)
    except client.ApiException as error:
        if error.status in (404, 429):
            return int(error.status)
        raise
    return 201


@dataclass
class Drained:
    """What an emptying of the node did: the status of each pod's first eviction, and whether all went."""

    first: list[int]
    left: list[str]  # pods that had not gone when the time was over
    seconds: float


def drain(stack: Applied, document: Document, within: float) -> Drained:
    """Evict every pod, and again those that may not go yet, each second; as `kubectl drain`, but for the cordon."""
    assert document.namespace is not None
    at, namespace, label = stack.cluster, document.namespace, matching(document)
    began = time.monotonic()
    original = [pod.metadata.name for pod in ready_pods(at, namespace, label)]
    first = [evict(at, namespace, name) for name in original]
    to_go = [name for name, status in zip(original, first, strict=True) if status == 429]
    asked = time.monotonic()

    def gone() -> bool:
        nonlocal asked
        if time.monotonic() - asked >= 1:
            to_go[:] = [name for name in to_go if evict(at, namespace, name) == 429]
            asked = time.monotonic()
        there = {pod.metadata.name for pod in pods(at, namespace, label)}
        fresh = {pod.metadata.name for pod in ready_pods(at, namespace, label)} - set(original)
        return not there & set(original) and len(fresh) >= len(original)

    try:
        wait("every pod to have moved", gone, within)
    except LabError:
        there = {pod.metadata.name for pod in pods(at, namespace, label)}
        return Drained(first, sorted(there & set(original)), time.monotonic() - began)
    return Drained(first, [], time.monotonic() - began)


def with_image(document: Document, image: str) -> Document:
    """The same Deployment with another image in its first container."""
    body = copy.deepcopy(document.body)
    body["spec"]["template"]["spec"]["containers"][0]["image"] = image
    return replace(document, body=body)


def deadline_exceeded(cluster: Cluster, document: Document) -> bool:
    """Whether the controller has given a roll-out up: condition Progressing is False, ProgressDeadlineExceeded."""
    from kubernetes import client

    assert document.namespace is not None
    found = client.AppsV1Api(cluster.api).read_namespaced_deployment(document.name, document.namespace)
    if (found.status.observed_generation or 0) < found.metadata.generation:
        return False
    return any(
        it.type == "Progressing" and it.reason == "ProgressDeadlineExceeded"
        for it in found.status.conditions or ()
    )


@dataclass(frozen=True)
class Look:
    """What a Deployment was at one moment, seconds from the start."""

    at: float
    wanted: int  # spec.replicas
    ready: int


def replicas(cluster: Cluster, document: Document, at: float = 0.0) -> Look:
    """How many it wants and has."""
    from kubernetes import client

    assert document.namespace is not None
    found = client.AppsV1Api(cluster.api).read_namespaced_deployment(document.name, document.namespace)
    return Look(round(at, 2), found.spec.replicas, found.status.ready_replicas or 0)


@dataclass
class Watched:
    """A Deployment's replicas over time."""

    looks: list[Look] = field(default_factory=list)  # in the order in which they were taken

    def reached(self, count: int, after: float = 0.0) -> float | None:
        """The first moment from `after` on at which so many were ready, in seconds from it; None: never."""
        return next(
            (look.at - after for look in self.looks if look.at >= after and look.ready >= count), None
        )

    def turns(self) -> list[tuple[float, int, int]]:
        """Every change of what is wanted: when, from, to."""
        pairs = zip(self.looks, self.looks[1:], strict=False)
        return [(b.at, a.wanted, b.wanted) for a, b in pairs if a.wanted != b.wanted]

    def words(self) -> str:
        """The changes, in words."""
        if not self.looks:
            return "nobody looked"
        turns = "".join(f", {to} at {at:.0f} s" for at, _, to in self.turns())
        return f"{self.looks[0].wanted} replicas{turns}"


def watch(
    cluster: Cluster,
    document: Document,
    them: Users,
    seconds: float,
    *,
    until: Callable[[Look], Any] = lambda _: False,
) -> Watched:
    """Look at its replicas ten times a second, for so long or until something is so."""
    seen = Watched()
    end = them.now + seconds

    def enough() -> bool:
        seen.looks.append(replicas(cluster, document, them.now))
        return bool(until(seen.looks[-1])) or them.now >= end

    wait("the time to pass", enough, seconds + 30)
    return seen
