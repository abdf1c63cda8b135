"""One batch in a cluster: made whole or not at all, heard as its pods end, and gone with everything that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import urllib3

from ...errors import LabError
from ..rules import Rules
from . import manifest, trouble
from .access import Access, ApiRefusal
from .told import Told
from .transcript import MOST
from .watch import CHECKS, Condition, PodWatch, WatchedPod

READS = 4  # times that a log is asked for


class JobStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How a Job is."""

    active: int = 0  # pods
    conditions: list[Condition] = msgspec.field(default_factory=list)  # all of them

    def has(self, kind: str) -> Condition | None:
        """A condition that is true."""
        found = [
            condition
            for condition in self.conditions
            if condition.type == kind and condition.status == "True"
        ]
        return found[0] if found else None

    @property
    def over(self) -> bool:
        """Whether no pod of it will ever start again."""
        return bool(self.has("Complete") or self.has("Failed"))


@dataclass(frozen=True, slots=True)
class IndexHeard:
    """What became of one index."""

    index: int
    told: Told | None  # None: nothing that could be believed came
    why: str = ""  # that it did not
    memory: bool = False  # the learner's cells used theirs up, and all of the pod's words went with them


@dataclass(slots=True)
class GradingJob:
    """One Indexed Job, known by its name alone: whoever knows that hears it to its end."""

    access: Access
    name: str  # of the Job, and on all that belongs to it
    image: str  # that its pods run
    _unread: dict[str, tuple[WatchedPod, int]] = field(default_factory=dict)
    _words: dict[int, str] = field(default_factory=dict)

    # -- beginning and end ---------------------------------------------------------------------------

    def make(
        self,
        rules: Rules,
        shape: manifest.PodShape,
        *,
        lab: bytes,
        parcels: Sequence[bytes],
        seals: Sequence[bytes],
    ) -> None:
        """Make it with all that it needs, and start it then: everything is owned by the Job, and ends with it.

        :raises LabError: when the cluster refuses something; nothing is left then.
        """
        bundles = bundled(parcels)
        job = manifest.job(self.name, rules, shape, indexes=len(parcels), parcels=len(bundles))
        job["spec"]["suspend"] = True
        try:
            made = self._create("jobs", job)
            owner = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": self.name,
                "uid": made["metadata"]["uid"],
            }
            policy = manifest.policy(self.name)
            policy["metadata"]["ownerReferences"] = [owner]
            self._create("networkpolicies", policy)
            contents = {
                "lab": {"lab": lab},
                "sealed": {str(index): seal for index, seal in enumerate(seals)},
                **{str(number): bundle for number, bundle in enumerate(bundles)},
            }
            for part, content in contents.items():
                self._create("secrets", manifest.secret(f"{self.name}-{part}", self.name, content, owner))
            self.access.ask(
                "PATCH",
                self.access.path("jobs", self.name),
                {"spec": {"suspend": False}},
                content="application/merge-patch+json",
            )
        except BaseException as error:
            with suppress(LabError, ApiRefusal):
                self.end()
            if isinstance(error, ApiRefusal):
                raise trouble.refused(self.access, error) from None
            raise

    def _create(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        """Make one object; one that is there already was made by a request whose answer was lost: no name is used twice."""
        try:
            return self.access.ask("POST", self.access.path(kind), body)
        except ApiRefusal as error:
            if error.status != 409:
                raise
        return self.access.ask("GET", self.access.path(kind, body["metadata"]["name"]))

    def there(self) -> bool:
        """Whether it was made whole, and is still there."""
        try:
            found = self.access.ask("GET", self.access.path("jobs", self.name))
        except ApiRefusal as error:
            if error.status == 404:
                return False
            raise trouble.refused(self.access, error) from None
        return not found["spec"].get("suspend") and "deletionTimestamp" not in found["metadata"]

    def end(self) -> None:
        """Delete it and all that belongs to it; gone already is good as well.

        :raises ApiRefusal: when the cluster does not.
        """
        options = {"propagationPolicy": "Background"}
        try:
            self.access.ask("DELETE", self.access.path("jobs", self.name), options)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    # -- meanwhile -----------------------------------------------------------------------------------

    def heard(self, tokens: Sequence[str]) -> Iterator[IndexHeard]:
        """Each index once, as its pod ends; whoever begins again hears all of them again.

        :param tokens: of each index, what its pod signs with.
        :raises LabError: when pods of this batch can never run here, or its cluster is gone.
        """
        watch = PodWatch(self.access, self.name)
        stalls = trouble.Stalls(self.access, self.name, self.image)
        done: set[int] = set()
        looked: set[str] = set()
        while len(done) < len(tokens):
            for pod in watch.changes():
                if pod.metadata.name in looked or not 0 <= pod.index < len(tokens):
                    continue
                stalls.see(pod)
                if pod.over:
                    looked.add(pod.metadata.name)
                    self._unread[pod.metadata.name] = pod, 0
                    yield from self._read_some([pod.metadata.name], tokens, done)
                    if len(done) == len(tokens):
                        return  # nothing more is to come, and the watch would go on for its time
            yield from self._read_some(list(self._unread), tokens, done)
            status = self._status()
            if status.over and not self._unread:
                stalls.failed(status.has("Failed"))
                for index in sorted(set(range(len(tokens))) - done):
                    yield IndexHeard(
                        index, None, self._words.get(index, "its pod is gone, and its log with it")
                    )
                return
            stalls.look(status.active)

    def _read_some(self, names: Sequence[str], tokens: Sequence[str], done: set[int]) -> Iterator[IndexHeard]:
        """What came of pods that have ended; a log that could not be read stays to be asked for again."""
        for name in names:
            pod, reads = self._unread.pop(name)
            if pod.index in done:
                continue
            found = self._read(pod, tokens[pod.index])
            if found is None and reads + 1 < READS and pod.status.phase == "Succeeded":
                self._unread[name] = pod, reads + 1
            elif found is not None:
                done.add(pod.index)
                yield found

    def _read(self, pod: WatchedPod, token: str) -> IndexHeard | None:
        """What one pod that has ended is worth; None: another may do better."""
        checks = pod.ended(CHECKS)
        if checks is None and pod.out_of_memory:
            return IndexHeard(pod.index, None, "the notebook used up its memory", memory=True)
        if checks is None:
            self._words[pod.index] = trouble.last_words(pod)
            return None
        killed = checks.reason == "OOMKilled"
        told = self._log(pod, token)
        if told is not None and (told.whole or killed):
            if killed:
                told.facts = msgspec.structs.replace(told.facts, memory=True)
            return IndexHeard(pod.index, told)
        if checks.exit_code == 0:
            self._words[pod.index] = "its log was cut or could not be read (containerLogMaxSize of its node?)"
        else:
            self._words[pod.index] = trouble.last_words(pod)
        return None

    def _log(self, pod: WatchedPod, token: str) -> Told | None:
        query = [("container", CHECKS), ("limitBytes", str(2 * MOST))]
        path = self.access.path("pods", pod.metadata.name, part="log")
        try:
            with self.access.stream(path, query) as lines:
                return Told.read(lines, token)
        except (ApiRefusal, urllib3.exceptions.HTTPError):
            return None  # its node is gone, or does not answer just now

    def _status(self) -> JobStatus:
        try:
            found = self.access.ask("GET", self.access.path("jobs", self.name))
        except ApiRefusal as error:
            if error.status == 404:
                raise LabError(
                    f"The Job {self.name} was deleted by somebody else.",
                    where=f"{self.access.context}, namespace {self.access.namespace}",
                    fix="the same command goes on from there",
                ) from None
            raise trouble.refused(self.access, error) from None
        return msgspec.convert(found.get("status", {}), JobStatus)


def bundled(parcels: Sequence[bytes], most: int = 1_000_000) -> list[dict[str, bytes]]:
    """Submissions in as few objects as they fit into, by index."""
    bundles: list[dict[str, bytes]] = []
    room = 0
    for index, parcel in enumerate(parcels):
        if len(parcel) > room:
            bundles.append({})
            room = most
        bundles[-1][str(index)] = parcel
        room -= len(parcel)
    return bundles
