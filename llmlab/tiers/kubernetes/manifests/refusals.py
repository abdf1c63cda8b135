"""Pods that were refused: what a workload's controller says of those that it was not allowed to make, at a line of the file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import yaml

from ....errors import LabError
from .manifests import Document

if TYPE_CHECKING:
    from ..cluster.api_client import HasApi

#: Kinds that make pods, and whose controllers say when they may not.
WORKLOADS = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
PATIENCE = 3.0  # seconds for which a refusal stands before it is final: a controller has tried some ten times by then
EVERY = 0.4  # seconds between two looks
#: Refusals that a young or busy cluster takes back by itself.
PASSING = re.compile(
    r"status unknown for quota|serviceaccount \"default\" not found|failed calling webhook"
    r"|being terminated|etcdserver|timed? ?out|context deadline exceeded|too many requests",
    re.IGNORECASE,
)
#: What the words are about → the fields that say it, and the mend.
_MENDS = (
    (
        r'RuntimeClass "',
        ("runtimeClassName",),
        "leave runtimeClassName out, or name one that this cluster has: kubectl get runtimeclasses",
    ),
    (
        r"PriorityClass",
        ("priorityClassName", "priority"),
        "leave priorityClassName out, or name one that this cluster has: kubectl get priorityclasses",
    ),
    (
        r"service ?account",
        ("serviceAccountName", "serviceAccount"),
        "leave serviceAccountName out, or put the ServiceAccount into the files: kubectl get serviceaccounts -n {namespace}",
    ),
    (
        r"exceeded quota: [^,]+, requested: (count/)?pods=",
        ("replicas", "parallelism"),
        "want fewer pods, or raise the quota: kubectl describe resourcequota -n {namespace}",
    ),
    (
        r"failed quota",
        (),
        "say what the quota wants said: kubectl describe resourcequota -n {namespace}",
    ),
    (
        r"exceeded quota",
        ("resources",),
        "ask for less, or raise the quota: kubectl describe resourcequota -n {namespace}",
    ),
    (
        r"(maximum|minimum) \S+ (usage|storage)|limit to request ratio",
        ("resources",),
        "stay within the namespace's limits: kubectl describe limitrange -n {namespace}",
    ),
    (
        r"violates PodSecurity",
        (),
        "the brackets say what to set; what the namespace enforces: kubectl get namespace {namespace} --show-labels",
    ),
)


class WorkloadRefused(LabError):
    """No pod of a workload is let in, and waiting does not change it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a controller says: `about` is its object (`ReplicaSet llama-5d9c`), `message` the API server's words."""

    about: str
    message: str
    made: int = 0  # pods that it has all the same
    wanted: int = 1
    since: datetime | None = None  # from when on it has been so

    def __str__(self) -> str:
        return f"{self.about}: FailedCreate: {self.message}"


def standing(cluster: HasApi, namespace: str, document: Document | None = None) -> list[Refusal]:
    """What is refused now, in a namespace or to one of its workloads; nothing that has been let in since.

    :param document: a document of a kind of `WORKLOADS`; None: all of the namespace.
    """
    from kubernetes import client

    apps, batch = client.AppsV1Api(cluster.api), client.BatchV1Api(cluster.api)
    found: list[Refusal] = []
    if document is None or document.kind in ("Deployment", "ReplicaSet"):
        for it in apps.list_namespaced_replica_set(namespace).items:
            if (
                document is None
                or _is(it, document)
                or any(_is(owner, document) for owner in it.metadata.owner_references or ())
            ):
                found += _of_replica_set(it)
    lacking: list[tuple[str, Any, int, int]] = []
    if document is None or document.kind == "StatefulSet":
        lacking += [
            ("StatefulSet", it, it.status.replicas or 0, it.spec.replicas)
            for it in apps.list_namespaced_stateful_set(namespace).items
        ]
    if document is None or document.kind == "DaemonSet":
        lacking += [
            (
                "DaemonSet",
                it,
                it.status.current_number_scheduled or 0,
                it.status.desired_number_scheduled or 0,
            )
            for it in apps.list_namespaced_daemon_set(namespace).items
        ]
    if document is None or document.kind == "Job":
        lacking += [("Job", it, *_of_job(it)) for it in batch.list_namespaced_job(namespace).items]
    lacking = [
        row
        for row in lacking
        if row[2] < row[3] and (document is None or row[1].metadata.name == document.name)
    ]
    return found + _by_events(cluster, namespace, lacking)


def _is(thing: Any, document: Document) -> bool:
    """Whether an object, or an owner's reference to it, is that of the document."""
    if hasattr(thing, "metadata"):
        return bool(document.kind == "ReplicaSet" and thing.metadata.name == document.name)
    return bool(thing.kind == document.kind and thing.name == document.name)


def _of_replica_set(it: Any) -> list[Refusal]:
    made, wanted = it.status.replicas or 0, it.spec.replicas or 0
    return [
        Refusal(
            f"ReplicaSet {it.metadata.name}",
            _told(condition.message, it.metadata.name),
            made,
            wanted,
            condition.last_transition_time,
        )
        for condition in it.status.conditions or ()
        if condition.type == "ReplicaFailure"
        and condition.status == "True"
        and condition.reason == "FailedCreate"
        and made < wanted
    ]


def _of_job(it: Any) -> tuple[int, int]:
    """Pods that a Job has or had, and how many it wants at once."""
    if it.spec.suspend or any(
        condition.type in ("Complete", "Failed") and condition.status == "True"
        for condition in it.status.conditions or ()
    ):
        return 0, 0
    done = it.status.succeeded or 0
    wanted = it.spec.parallelism if it.spec.parallelism is not None else 1
    if it.spec.completions is not None:
        wanted = min(wanted, it.spec.completions - done)
    elif done:  # any that succeeds ends it
        wanted = 0
    return it.status.active or 0, wanted


def _by_events(cluster: HasApi, namespace: str, lacking: list[tuple[str, Any, int, int]]) -> list[Refusal]:
    """Of controllers that lack pods and keep no condition: what their newest event says."""
    from kubernetes import client

    if not lacking:
        return []
    events = client.CoreV1Api(cluster.api).list_namespaced_event(namespace).items
    found = []
    for kind, it, made, wanted in lacking:
        own = [
            event
            for event in events
            if event.involved_object.uid == it.metadata.uid
            and event.reason in ("FailedCreate", "SuccessfulCreate")
        ]
        # On a tie (events know seconds) it was refused: it lacks pods.
        newest = max(own, key=lambda event: (str(_when(event)), event.reason == "FailedCreate"), default=None)
        if newest is not None and newest.reason == "FailedCreate":
            about, said = f"{kind} {it.metadata.name}", _told(newest.message, it.metadata.name)
            found.append(Refusal(about, said, made, wanted, newest.first_timestamp))
    return found


def _when(event: Any) -> Any:
    return event.last_timestamp or event.event_time or event.metadata.creation_timestamp


def _told(message: str | None, name: str) -> str:
    """The API server's words; pods that fail alike have each a name of its own, which says nothing."""
    said = (
        (message or "")
        .strip()
        .removeprefix("(combined from similar events): ")
        .removeprefix("Error creating: ")
    )
    return re.sub(rf"\b({re.escape(name)})-[a-z0-9]{{5}}\b", r"\1-…", said)


class Watch:
    """Asked again and again while something is awaited: gives the refusal of a workload's pods once it is final.

    A refusal that may pass (a quota, while pods are on their way out) is given as long as the controller needs to try again.
    """

    def __init__(self, cluster: HasApi, *documents: Document, every: bool = False) -> None:
        """`every`: only when all of these workloads are refused, because any of them would do."""
        self.cluster = cluster  # where they are
        self.every = every  # only when all of these workloads are refused
        #: The workloads among what was given.
        self.documents = [document for document in documents if document.kind in WORKLOADS]
        self._looked = 0.0
        self._since: dict[str, float] = {}  # a workload's refusal → when it was first seen
        self._left: dict[str, float] = {}  # a namespace → when a pod of it was last seen to be on its way out
        self._pods: dict[str, set[str]] = {}

    def __call__(self) -> WorkloadRefused | None:
        """The first one that is final, if any is (or all are)."""
        now = time.monotonic()
        if now - self._looked < EVERY:
            return None
        self._looked = now
        found = [why for document in self.documents if (why := self._look(document, now))]
        enough = len(self.documents) if self.every else 1
        return found[0] if found and len(found) >= enough else None

    def _look(self, document: Document, now: float) -> WorkloadRefused | None:
        assert document.namespace is not None
        if _paused(document):
            return refused(
                document, Refusal(f"{document.kind} {document.name}", "it is paused, and makes no pods")
            )
        there = standing(self.cluster, document.namespace, document)
        key = f"{document.kind} {document.name}"
        if not there or PASSING.search(there[0].message):
            self._since.pop(key, None)
            return None
        since = there[0].since
        age = max(0.0, (datetime.now(UTC) - since).total_seconds()) if since else 0.0
        first = self._since.setdefault(key, now - age)
        # Whatever went before somebody looked may have made room.
        if self._leaving(document.namespace) or document.namespace not in self._left:
            self._left[document.namespace] = now
        # It doubles its pause with each refusal: after so long it has tried again.
        left = max(self._left[document.namespace], first)
        return refused(document, there[0]) if now - left > (left - first) + PATIENCE else None

    def _leaving(self, namespace: str) -> bool:
        """Whether pods are on their way out, or have gone since the last look."""
        from kubernetes import client

        there = client.CoreV1Api(self.cluster.api).list_namespaced_pod(namespace).items
        before, names = self._pods.get(namespace, set()), {it.metadata.uid for it in there}
        self._pods[namespace] = names
        return bool(before - names) or any(it.metadata.deletion_timestamp is not None for it in there)


def _paused(document: Document) -> bool:
    return document.kind == "Deployment" and (document.body.get("spec") or {}).get("paused") is True


def refused(document: Document, why: Refusal) -> WorkloadRefused:
    """The error: object, event's words, the line of the field that they are about, and the mend."""
    some = f"Only {why.made} of {why.wanted} pods" if why.made else "No pod"
    verb = "are" if why.made else "is"
    if why.message.startswith("it is paused"):
        line = document.line_of("spec.paused") or document.line
        return WorkloadRefused(
            f"{some} of {document.kind} {document.name} {verb} made: {why.message}.",
            where=f"{document.file}:{line}, spec.paused",
            fix="take `paused: true` out: a Deployment that begins with it never makes a pod",
        )
    where, fix = blamed(document, why.message)
    return WorkloadRefused(
        f"{some} of {document.kind} {document.name} {verb} let in. {why}", where=where, fix=fix
    )


def blamed(document: Document, message: str) -> tuple[str, str | None]:
    """Where in a workload's file a refusal has its reason (`file:line, field`), and what mends it."""
    mend = next(((names, fix) for words, names, fix in _MENDS if re.search(words, message)), None)
    names, fix = mend or ((), None)
    path = _field(document, message, names) or "spec.template"
    line = document.line_of(path) or document.line
    said = fix.format(namespace=document.namespace) if fix else None
    return f"{document.file}:{line}, {path}", said


def _field(document: Document, message: str, names: tuple[str, ...]) -> str | None:
    """The field of a pod template (or of what holds it) that the words are about."""
    own = list(_fields(document.node))
    is_so = re.sub(r"must set [^)]*", "", message)
    for path, key, value in own:  # "hostNetwork=true"
        if value is not None and f"{key}={value}" in is_so:
            return path
    for name in names:
        for path, key, _ in own:
            if key == name and path.startswith("spec."):
                return path
    named = re.search(r"(spec\.[\w.\[\]\"]+)", message)  # a pod that is invalid: its own path
    if named:
        return f"spec.template.{named[1].rstrip('.')}"
    container = re.search(r'containers? "([^"]+)"|must specify \S+ for: ([\w-]+)', message)
    if container:
        for path, key, value in own:
            if key == "name" and value == (container[1] or container[2]) and "ontainers[" in path:
                return path.removesuffix(".name")
    for path, _, value in own:  # whatever is quoted
        if value and len(value) > 1 and f'"{value}"' in message and path.startswith("spec.template.spec."):
            return path
    return None


def _fields(node: yaml.Node | None, path: str = "") -> Iterator[tuple[str, str, str | None]]:
    """Every field below a node: its path, its name, and its value where that is a scalar."""
    if isinstance(node, yaml.MappingNode):
        for key, below in node.value:
            name = str(key.value)
            here = f"{path}.{name}" if path else name
            yield here, name, below.value if isinstance(below, yaml.ScalarNode) else None
            yield from _fields(below, here)
    elif isinstance(node, yaml.SequenceNode):
        for place, below in enumerate(node.value):
            yield from _fields(below, f"{path}[{place}]")
