"""What a controller made of the learner's Gateways, routes and policies: every condition that is not as it should be, at its line.

A file that the API server takes can still do nothing: the object's status says so, and nobody reads that by himself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...errors import LabError
from ...system.waiting import Late, wait
from ..kubernetes.cluster.cluster import ask
from ..kubernetes.manifests.manifests import Document

if TYPE_CHECKING:
    from ..kubernetes.cluster.cluster import Cluster

GROUPS = ("gateway.networking.k8s.io", "gateway.envoyproxy.io")
#: Conditions that should be true, and those that should not.
SHOULD = ("Accepted", "Programmed", "ResolvedRefs")
SHOULD_NOT = ("Conflicted", "PartiallyInvalid", "Overridden", "Warning", "OverlappingTLSConfig")
#: Kinds in which nothing of a learner's goes wrong: no controller says anything of the first and the last, and the class is the add-on's.
QUIET = frozenset({"ReferenceGrant", "GatewayClass", "HTTPRouteFilter"})


@dataclass(frozen=True, slots=True)
class Remark:
    """One condition that is not as it should be, or the lack of any."""

    document: Document  # the learner's
    condition: str  # "" where no controller has said anything
    reason: str  # the controller's word for why
    message: str  # its sentence
    about: str = ""  # the listener, or the parent
    field: str = ""  # of the document, as far as the message tells

    @property
    def where(self) -> str:
        """`file:line`, of the field where it is known."""
        line = self.document.line_of(self.field) if self.field else None
        return f"{self.document.file}:{line or self.document.line}"

    def __str__(self) -> str:
        its = f"{self.document.kind} {self.document.name}" + (f", {self.about}" if self.about else "")
        if not self.condition:
            return f"{self.where}: {its}: {self.message}"
        return f"{self.where}: {its}: {self.condition} ({self.reason}): {self.message}"


def said(cluster: Cluster, documents: Sequence[Document]) -> list[Remark]:
    """What is not as it should be with those that are a gateway's business, in their order; nothing: all is well.

    :raises LabError: when one of them is not in the cluster.
    """
    return [remark for document in documents if _concerned(document) for remark in _of(cluster, document)]


def settled(cluster: Cluster, documents: Sequence[Document], within: float = 30) -> list[Remark]:
    """Wait until nothing is amiss, at most so long; then as `said`.

    :param within: seconds.
    """

    def well() -> bool:
        return not said(cluster, documents)

    try:
        wait("the Gateway and its routes", well, within)
    except Late:
        return said(cluster, documents)
    return []


def _concerned(document: Document) -> bool:
    return document.api_version.partition("/")[0] in GROUPS and document.kind not in QUIET


def _of(cluster: Cluster, document: Document) -> Iterator[Remark]:
    path = cluster.path_of(document.api_version, document.kind, document.namespace, document.name)
    found = ask(cluster.api, "GET", path)
    if found is None:
        raise LabError(f"There is no {document.kind} {document.name} in the cluster.", where=document.where)
    status, generation = found.get("status") or {}, found["metadata"].get("generation", 0)
    # What was said of an earlier version stays: of a parent that the route no longer names, for ever.
    groups = [
        (about, field, [condition for condition in conditions if _current(condition, generation)])
        for about, field, conditions in _groups(document, status)
    ]
    if not any(conditions for _, _, conditions in groups):
        yield _nobody(cluster, document)
        return
    yield from _unheard(document, {field for _, field, conditions in groups if conditions})
    for about, field, conditions in groups:
        for condition in conditions:
            if _amiss(condition):
                name = (
                    condition["type"]
                    if condition["status"] == "True"
                    else f"{condition['type']} is {condition['status']}"
                )
                text = str(condition.get("message", ""))
                at = _field(document, condition.get("reason", ""), text) or field
                yield Remark(document, name, condition.get("reason", ""), text, about, at)


def _unheard(document: Document, heard: set[str]) -> Iterator[Remark]:
    """The parents of a route about which no controller has said anything, beside others about which one has."""
    for place, parent in enumerate((document.body.get("spec") or {}).get("parentRefs") or ()):
        field = f"spec.parentRefs[{place}]"
        if field not in heard:
            text = f"no controller has looked at it for {_named(parent)}"
            yield Remark(document, "", "", text, f"parent {_named(parent)}", field)


def _groups(document: Document, status: dict[str, Any]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """What the conditions are about, its field, and they themselves: an object has several sets of them."""
    yield "", "", status.get("conditions") or []
    for listener in status.get("listeners") or ():
        name = listener["name"]
        yield f"listener {name}", f'spec.listeners[name="{name}"]', listener.get("conditions") or []
    for parent in status.get("parents") or ():
        reference = parent.get("parentRef") or {}
        yield f"parent {_named(reference)}", _parent(document, reference), parent.get("conditions") or []
    for ancestor in status.get("ancestors") or ():
        yield f"at {_named(ancestor.get('ancestorRef') or {})}", "", ancestor.get("conditions") or []


def _named(reference: dict[str, Any]) -> str:
    section = reference.get("sectionName")
    return f"{reference.get('kind', 'Gateway')} {reference.get('name')}" + (f", {section}" if section else "")


def _parent(document: Document, reference: dict[str, Any]) -> str:
    """The parentRef that an entry of the status is about: they need not stand in one order."""

    def names(parent: dict[str, Any]) -> tuple[Any, ...]:
        home = parent.get("namespace") or document.namespace
        return parent.get("name"), home, parent.get("sectionName"), parent.get("port")

    own = (document.body.get("spec") or {}).get("parentRefs") or []
    place = next((place for place, parent in enumerate(own) if names(parent) == names(reference)), None)
    return "spec.parentRefs" if place is None else f"spec.parentRefs[{place}]"


def _current(condition: dict[str, Any], generation: int) -> bool:
    """Whether a controller has said it, about what the object is now: the schema's own default is "Pending" or "Waiting"."""
    default = condition["status"] == "Unknown" and condition.get("reason") in ("Pending", "Waiting")
    return bool(condition.get("observedGeneration", generation) >= generation) and not default


def _amiss(condition: dict[str, Any]) -> bool:
    kind, status = condition["type"], condition["status"]
    if condition.get("reason") == "DeprecatedField":  # of today's API, and it works
        return False
    return (kind in SHOULD and status != "True") or (kind in SHOULD_NOT and status == "True")


def _nobody(cluster: Cluster, document: Document) -> Remark:
    """Why nobody has looked at it: the class, the Gateway or the target that it names is not there."""
    spec = document.body.get("spec") or {}
    if document.kind == "Gateway":
        name = spec.get("gatewayClassName")
        return Remark(document, "", "", _class(cluster, name), field="spec.gatewayClassName")
    if "parentRefs" in spec or document.kind.endswith("Route"):
        names = ", ".join(str(parent.get("name")) for parent in spec.get("parentRefs") or ()) or "none"
        text = f"no controller has looked at it; its parentRefs name {names}"
        return Remark(document, "", "", text, field="spec.parentRefs")
    field = "spec.targetRef" if "targetRef" in spec else "spec.targetRefs"
    targets = spec.get("targetRefs") or [spec.get("targetRef") or {}]
    names = ", ".join(f"{target.get('kind')} {target.get('name')}" for target in targets)
    return Remark(document, "", "", f"no controller has looked at it; it is for {names}", field=field)


def _class(cluster: Cluster, name: Any) -> str:
    path = cluster.path_of("gateway.networking.k8s.io/v1", "GatewayClass", None, str(name))
    found = ask(cluster.api, "GET", path)
    there = (ask(cluster.api, "GET", path.rpartition("/")[0]) or {}).get("items", [])
    classes = ", ".join(each["metadata"]["name"] for each in there) or "none"
    if found is None:
        return f"there is no GatewayClass {name}, so no controller looks at it; there is {classes}"
    accepted = [it for it in (found.get("status") or {}).get("conditions") or () if it["type"] == "Accepted"]
    if not any(it["status"] == "True" for it in accepted):
        controller = found["spec"]["controllerName"]
        return f"the controller of GatewayClass {name} ({controller}) does not run here: nobody looks at it"
    return "its controller has not looked at it yet"


#: What a reason is about: the fields that say it.
_FIELDS = {
    "NoMatchingListenerHostname": "spec.hostnames",
    "NoMatchingParent": "spec.parentRefs",
    "NotAllowedByListeners": "spec.parentRefs",
    "TargetNotFound": "spec.targetRefs",
    "Conflicted": "spec.targetRefs",
    "Overridden": "spec.targetRefs",
}


def _field(document: Document, reason: str, message: str) -> str:
    """The field that a message is about: "rule 0 backendRef 1", or what its reason always is about."""
    rule = re.search(r"\brule (\d+)", message)
    if rule:
        path = f"spec.rules[{rule[1]}]"
        backend = re.search(r"\bbackendRef (\d+)", message)
        if backend:
            return f"{path}.backendRefs[{backend[1]}]"
        return f"{path}.backendRefs" if "ackend" in reason else path
    if document.kind in ("HTTPRoute", "GRPCRoute") and re.match(
        "Backend|RefNotPermitted|PortNotFound", reason
    ):
        return _reference(document, message) or "spec.rules"
    found = _FIELDS.get(reason, "")
    return (
        "spec.targetRef"
        if found == "spec.targetRefs" and "targetRef" in (document.body.get("spec") or {})
        else found
    )


def _reference(document: Document, message: str) -> str | None:
    """The backend that a message names."""
    for number, rule in enumerate((document.body.get("spec") or {}).get("rules") or ()):
        for place, backend in enumerate(rule.get("backendRefs") or ()):
            if re.search(rf"\b{re.escape(str(backend.get('name')))}\b", message):
                return f"spec.rules[{number}].backendRefs[{place}]"
    return None
