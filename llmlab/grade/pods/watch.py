"""The pods of one batch as they change: listed once, then watched, and taken up where a watch broke off."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Literal

import msgspec
import urllib3
from msgspec import field

from .access import Access, ApiRefusal
from .manifest import BATCH, INDEX
from .steps import OUT_OF_MEMORY

PAGE = "500"  # pods of one page of a list
GONE = 410
NOTEBOOK, CHECKS = "notebook", "checks"  # its containers
#: Seconds until the Job itself is looked at again: soon at first, when most that can go wrong does.
SOON, LATER = 2, 15
SLACK = 20  # seconds that the end of a watch may be late


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended."""

    exit_code: int = 0  # 128 and a signal's number where it was killed
    reason: str = ""  # Completed, Error, OOMKilled, …
    message: str = ""  # its last words


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run yet."""

    reason: str = ""  # ErrImagePull, …
    message: str = ""  # in the node's words


class PodContainerState(msgspec.Struct, frozen=True):
    """What a container is at."""

    waiting: Waiting | None = None  # not yet running
    terminated: Terminated | None = None  # not any more


class ContainerStatus(msgspec.Struct, frozen=True):
    """One container."""

    name: str  # notebook or checks
    state: PodContainerState = PodContainerState()  # now


class Condition(msgspec.Struct, frozen=True):
    """One of a pod's or a Job's conditions."""

    type: str  # PodScheduled, Failed, …
    status: str  # True, False, Unknown
    reason: str = ""  # in one word
    message: str = ""  # in the cluster's words


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a pod is."""

    phase: str = ""  # Pending, Running, Succeeded, Failed
    reason: str = ""  # Evicted, DeadlineExceeded, …
    message: str = ""  # in the cluster's words
    conditions: list[Condition] = field(default_factory=list)  # all of them
    init_container_statuses: list[ContainerStatus] = field(default_factory=list)  # of the notebook
    container_statuses: list[ContainerStatus] = field(default_factory=list)  # of the checks


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What it is called."""

    name: str = ""  # in its namespace
    resource_version: str = ""  # of this state
    annotations: dict[str, str] = field(default_factory=dict)  # its index among them
    deletion_timestamp: str | None = None  # it is being deleted


class WatchedPod(msgspec.Struct, frozen=True):
    """One pod, as far as it matters here."""

    metadata: Metadata = Metadata()  # what it is called
    status: PodStatus = PodStatus()  # how it is

    @property
    def index(self) -> int:
        """Which submission of the batch it is about."""
        return int(self.metadata.annotations.get(INDEX, "-1"))

    @property
    def over(self) -> bool:
        """Whether it has ended, or can never go on: a pod whose cells ran out of memory may stay Pending."""
        return self.status.phase in ("Succeeded", "Failed") or self.out_of_memory

    @property
    def out_of_memory(self) -> bool:
        """Whether the learner's cells used up their memory (`steps.notebook` says what becomes of their pod)."""
        cells = self.ended(NOTEBOOK)
        return cells is not None and (cells.reason == "OOMKilled" or cells.exit_code == OUT_OF_MEMORY)

    @property
    def containers(self) -> list[ContainerStatus]:
        """In the order in which they run."""
        return [*self.status.init_container_statuses, *self.status.container_statuses]

    def ended(self, container: str) -> Terminated | None:
        """How one of its containers ended."""
        found = [status.state.terminated for status in self.containers if status.name == container]
        return found[0] if found else None


class _ListMetadata(msgspec.Struct, frozen=True, rename={"version": "resourceVersion", "more": "continue"}):
    version: str = ""
    more: str = ""


class _List(msgspec.Struct, frozen=True):
    metadata: _ListMetadata = _ListMetadata()
    items: list[WatchedPod] = field(default_factory=list)


class _Change(msgspec.Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw = msgspec.Raw()


class PodWatch:
    """The pods of a batch: `for pod in watch.changes()` gives each as it is, until something else is to be looked at.

    What was missed while nobody watched (a control plane that was away, a version that is too old: 410 Gone) is in the list that is
    asked for again, so no pod's end is ever lost.
    """

    def __init__(self, access: Access, batch: str) -> None:
        self.access = access
        self._selector = ("labelSelector", f"{BATCH}={batch}")
        self._version = ""  # "": the list is to be asked for
        self._within = SOON

    def changes(self) -> Iterator[WatchedPod]:
        """Pods as they change; ends after some seconds, or when the watch broke off: call it again."""
        if not self._version:
            yield from self._listed()
        else:
            yield from self._watched()
            self._within = min(LATER, 2 * self._within)

    def _listed(self) -> Iterator[WatchedPod]:
        more = ""
        while True:
            query = [self._selector, ("limit", PAGE), *([("continue", more)] if more else [])]
            try:
                page = self.access.read("pods", query, _List)
            except ApiRefusal as error:
                if error.status != GONE or not more:
                    raise
                more = ""  # the list that was being paged through is too old: from its beginning
                continue
            yield from page.items
            more = page.metadata.more
            if not more:
                self._version = page.metadata.version
                return

    def _watched(self) -> Iterator[WatchedPod]:
        query = [
            self._selector,
            ("watch", "1"),
            ("allowWatchBookmarks", "1"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(self._within)),
        ]
        began = time.monotonic()
        try:
            with self.access.stream(self.access.path("pods"), query, within=self._within + SLACK) as lines:
                for line in lines:
                    change = msgspec.json.decode(line, type=_Change)
                    if change.type == "ERROR":
                        self._version = ""
                        return
                    pod = msgspec.json.decode(change.object, type=WatchedPod)
                    self._version = pod.metadata.resource_version
                    if change.type in ("ADDED", "MODIFIED"):
                        yield pod
                    if time.monotonic() - began > 2 * self._within:
                        return  # there is always something: the Job is to be looked at all the same
        except (ApiRefusal, urllib3.exceptions.HTTPError, msgspec.MsgspecError):
            self._version = ""  # it is away, or too old: the list says what is
