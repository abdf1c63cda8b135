"""Why a batch does not run: what the cluster says, in a sentence, with the command that mends it."""

from __future__ import annotations

import time

import msgspec

from ...errors import LabError
from . import steps
from .access import Access, ApiRefusal
from .watch import Condition, WatchedPod

PULLING = 45.0  # seconds that a registry may be given after the first refusal
PLACING = 120.0  # seconds without any pod of ours at work until what the scheduler says is the end of it
MAKING = 20.0  # seconds until what keeps the first pod from being made is
NEVER = (
    "InvalidImageName",
    "ErrImageNeverPull",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
)
PULLS = ("ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError")
ONE_MACHINE = "the same command without --on kubernetes grades on this machine"


class _Event(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Events(msgspec.Struct, frozen=True):
    items: list[_Event] = msgspec.field(default_factory=list)


def refused(access: Access, error: ApiRefusal) -> LabError:
    """The API server's own refusal of one request."""
    kubectl = f"kubectl --context {access.context} -n {access.namespace}"
    where = f"{access.context}, namespace {access.namespace}"
    if error.status == 401:
        return LabError(
            f"{access.context} does not know you: {error.message}", where=where, fix=f"{kubectl} auth whoami"
        )
    if error.status == 403 and "exceeded quota" in error.message:
        return _quota(access, error.message)
    if error.status == 403:
        return LabError(
            f"You may not do that there: {error.message}", where=where, fix=f"{kubectl} auth can-i --list"
        )
    if error.status == 404:
        return no_namespace(access)
    return LabError(f"{access.context} refuses: {error.message}", where=where, fix=f"{kubectl} get events")


def last_words(pod: WatchedPod) -> str:
    """Why a pod failed."""
    for status in reversed(pod.containers):
        ended = status.state.terminated
        if ended is not None and (ended.exit_code or ended.reason not in ("", "Completed")):
            words = (ended.message.strip().splitlines() or [""])[-1][:300]
            said = f": {words}" if words else ""
            return f"its container {status.name} ended with code {ended.exit_code} ({ended.reason}){said}"
    return f"its pod failed: {pod.status.reason or 'no reason'} {pod.status.message}".strip()


class Stalls:
    """What keeps the pods of a batch from running, as far as one of them says so."""

    def __init__(self, access: Access, job: str, image: str) -> None:
        self.access, self.job, self.image = access, job, image
        self._open: dict[str, WatchedPod] = {}  # pods that have not ended
        self._since = time.monotonic()  # that something of ours ran, or was made
        self._pulling: float | None = None  # since when an image could not be pulled
        self._code: tuple[int, str] | None = None  # of a container that refused for all

    def see(self, pod: WatchedPod) -> None:
        """A pod as it is now."""
        if pod.over or pod.metadata.deletion_timestamp:
            self._open.pop(pod.metadata.name, None)
        else:
            self._open[pod.metadata.name] = pod
        if pod.over or pod.status.phase == "Running" or any(c.state.terminated for c in pod.containers):
            self._since = time.monotonic()
        for status in pod.containers:
            ended = status.state.terminated
            if ended is not None and ended.exit_code in _CODES:
                self._code = ended.exit_code, (ended.message.strip().splitlines() or [""])[-1]
            elif ended is not None and ended.exit_code and "No module named" in ended.message:
                self._code = steps.ANOTHER_VERSION, ""

    def look(self, active: int) -> None:
        """Whether it will never run.

        :param active: how many pods the Job has.
        :raises LabError: when it will not, with the cluster's words.
        """
        if self._code is not None:
            raise self._refusal(*self._code)
        now = time.monotonic()
        pulls = False
        for pod in self._open.values():
            for status in pod.containers:
                waiting = status.state.waiting
                if waiting is not None and waiting.reason in NEVER:
                    raise self._no_start(waiting.reason, waiting.message)
                pulls = pulls or (waiting is not None and waiting.reason in PULLS)
                if waiting is not None and waiting.reason in PULLS:
                    self._pulling = self._pulling or now
                    if now - self._pulling > PULLING:
                        raise self._no_image(waiting.message)
        self._pulling = self._pulling if pulls else None
        if not active and not self._open and now - self._since > 1:
            self._not_made(now - self._since > MAKING)
        if now - self._since > PLACING:
            self._not_placed()

    def failed(self, condition: Condition | None) -> None:
        """The Job has ended; whether it did so before its time.

        :raises LabError: when a pod refused for all, or too many failed.
        """
        if self._code is not None:
            raise self._refusal(*self._code)
        if condition is not None and condition.reason == "MaxFailedIndexesExceeded":
            raise LabError(
                "Too many pods of this batch failed, so the rest was not tried; what came before is kept.",
                where=f"{self.access.context}, namespace {self.access.namespace}",
                fix=ONE_MACHINE,
            )

    def _not_made(self, final: bool) -> None:
        """The Job's controller can make no pod."""
        query = [("fieldSelector", f"involvedObject.name={self.job},reason=FailedCreate")]
        try:
            events = self.access.read("events", query, _Events).items
        except ApiRefusal:
            events = []
        for event in events:
            if "exceeded quota" in event.message:
                raise _quota(self.access, event.message)
            if "violates PodSecurity" in event.message:
                raise LabError(
                    f"Pod Security refuses our pods: {event.message[:400]}",
                    where=f"{self.access.context}, namespace {self.access.namespace}",
                    fix=f"kubectl --context {self.access.context} label namespace {self.access.namespace} --overwrite "
                    "pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/enforce-version=latest",
                )
            if final:
                raise LabError(
                    f"The cluster makes no pod of ours: {event.message[:400]}",
                    where=f"{self.access.context}, namespace {self.access.namespace}",
                    fix=f"kubectl --context {self.access.context} -n {self.access.namespace} describe job {self.job}",
                )

    def _not_placed(self) -> None:
        for pod in self._open.values():
            for condition in pod.status.conditions:
                if condition.type == "PodScheduled" and condition.reason == "Unschedulable":
                    raise LabError(
                        f"No node takes a pod of ours: {condition.message}",
                        where=f"{self.access.context}, namespace {self.access.namespace}",
                        fix=f"kubectl --context {self.access.context} describe nodes; a lab asks for `cpus` and `memory` "
                        "of [grade] in its lab.toml",
                        without=ONE_MACHINE,
                    )

    def _no_image(self, message: str) -> LabError:
        return LabError(
            f"The image {self.image} cannot be pulled: {' '.join(message.split())[:300]}",
            where=f"{self.access.context}, namespace {self.access.namespace}",
            fix=f"push it where that cluster's nodes reach it, and name it: --image {self.image}",
        )

    def _no_start(self, reason: str, message: str) -> LabError:
        if "Image" in reason and "Container" not in reason:
            return self._no_image(message or reason)
        return LabError(
            f"Containers of {self.image} cannot be started: {reason}: {message[:300]}",
            where=f"{self.access.context}, namespace {self.access.namespace}",
            fix=f"kubectl --context {self.access.context} -n {self.access.namespace} get events",
        )

    def _refusal(self, code: int, words: str) -> LabError:
        what, mend = _CODES[code]
        return LabError(
            what.format(image=self.image, context=self.access.context, words=words),
            where=f"{self.access.context}, namespace {self.access.namespace}",
            fix=mend,
            without=ONE_MACHINE,
        )


_CODES: dict[int, tuple[str, str]] = {
    steps.ANOTHER_VERSION: (
        "The image {image} holds another version of the course than this one, so nothing was run in it.",
        "build the image of this version and name it: --image REF",
    ),
    steps.NETWORK_OPEN: (
        "Nothing keeps a learner's cells in {context} from the network ({words}), so none was run.",
        "a cluster whose network enforces NetworkPolicies (Calico, Cilium, …), or a RuntimeClass without a network: --runtime-class NAME",
    ),
    steps.UNREADABLE: (
        "A pod of {image} could not read what it was given: {words}.",
        "build the image of this version and name it: --image REF",
    ),
    steps.LACKING: (
        "The image {image} lacks something that this lab needs: {words}.",
        "build the whole image, and name it: --image REF",
    ),
}


def _quota(access: Access, message: str) -> LabError:
    said = message.partition("exceeded quota: ")[2] or message
    return LabError(
        f"The quota of the namespace {access.namespace} is used up: {said[:300]}",
        where=access.context,
        fix=f"kubectl --context {access.context} -n {access.namespace} describe quota; --parallelism 1 asks for least",
    )


def no_namespace(access: Access) -> LabError:
    """There is none of that name."""
    return LabError(
        f"There is no namespace {access.namespace} in {access.context}.",
        fix=f"kubectl --context {access.context} create namespace {access.namespace} && kubectl --context {access.context} "
        f"label namespace {access.namespace} pod-security.kubernetes.io/enforce=restricted",
    )
