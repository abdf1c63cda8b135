"""The namespace in which a class is graded: whether we may, whether it holds our pods as it should, and whether it is ours to remove."""

from __future__ import annotations

from typing import Any

from ...course.info import LabInfo
from ...errors import LabError
from ...system.waiting import wait
from ...tiers.kubernetes.drivers.local_programs import NETWORK_LABEL
from . import manifest, trouble
from .access import NAMESPACE, Access, ApiRefusal

#: What a lab may need of a machine to be graded in a pod; all else is root's, or Docker's.
IN_PODS = frozenset({"process", "sandbox", "edge", "regions"})
#: What is done in the namespace: (verb, kind, group).
RIGHTS = (
    ("create", "jobs", "batch"),
    ("get", "jobs", "batch"),
    ("patch", "jobs", "batch"),
    ("delete", "jobs", "batch"),
    ("create", "secrets", ""),
    ("create", "networkpolicies", "networking.k8s.io"),
    ("list", "pods", ""),
    ("watch", "pods", ""),
    ("get", "pods/log", ""),
    ("list", "events", ""),
)
SINCE = (1, 29)  # Kubernetes: `backoffLimitPerIndex` without a feature gate
GOES = 90.0  # seconds for a namespace of ours to go


def require_pods(info: LabInfo) -> None:
    """Whether a lab can be graded in pods.

    :raises LabError: when it needs what a pod may not have.
    """
    beyond = [need for need in info.needs if need not in IN_PODS]
    if beyond:
        what = {
            "docker": "a Docker daemon",
            "kubernetes": "clusters of its own",
            "cpu-quota": "cgroups that it writes itself",
        }
        needs = " and ".join(what.get(need, need) for need in beyond if need not in ("images", "binary"))
        raise LabError(
            f"Lab {info.number} is graded on one machine: it needs {needs}, and a pod that keeps strangers' files has none.",
            fix=f"llmlab grade {info.number} … without --on kubernetes",
        )


def enter(access: Access, *, named: bool) -> bool:
    """See that everything can be done there before anything is; whether the namespace was made for it.

    :param named: somebody has chosen it: then it must be there.
    :raises LabError: for the first thing that is missing, with the command that mends it.
    """
    try:
        _old(access)
        _rights(access)
        made = _namespace(access, named)
    except ApiRefusal as error:
        raise trouble.refused(access, error) from None
    return made


def leave(access: Access) -> None:
    """Remove the namespace if it is ours and no batch is in it."""
    try:
        found = access.ask("GET", f"/api/v1/namespaces/{access.namespace}")
        if _is_ours(found) and not access.ask("GET", access.path("jobs"), query=[("limit", "1")])["items"]:
            access.ask("DELETE", f"/api/v1/namespaces/{access.namespace}")
    except ApiRefusal as error:
        if error.status != 404:
            raise trouble.refused(access, error) from None


def runtime(access: Access, named: str) -> str:
    """The RuntimeClass whose pods have no network: the one that is named, else one with our label, else none."""
    if named:
        return named
    try:
        query = [("labelSelector", f"{NETWORK_LABEL}=none")]
        items = access.ask("GET", "/apis/node.k8s.io/v1/runtimeclasses", query=query)["items"]
    except ApiRefusal:  # who may not look has none
        return ""
    return str(items[0]["metadata"]["name"]) if items else ""


def cpus(access: Access) -> list[float]:
    """Of each node that takes pods, the CPUs that it has for them; none: we may not ask."""
    from kubernetes.utils import parse_quantity

    try:
        items = access.ask("GET", "/api/v1/nodes")["items"]
    except ApiRefusal:
        return []
    return [
        float(parse_quantity(node["status"]["allocatable"]["cpu"]))
        for node in items
        if not node["spec"].get("unschedulable")
    ]


def _old(access: Access) -> None:
    found = access.ask("GET", "/version")
    version = tuple(int("".join(filter(str.isdigit, found[part])) or 0) for part in ("major", "minor"))
    if version < SINCE:
        raise LabError(
            f"{access.context} runs Kubernetes {found['gitVersion']}; grading asks for {SINCE[0]}.{SINCE[1]} or newer.",
            fix=trouble.ONE_MACHINE,
        )


def _namespace(access: Access, named: bool) -> bool:
    path = f"/api/v1/namespaces/{access.namespace}"

    def found() -> dict[str, Any] | None:
        try:
            return access.ask("GET", path)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise

    there = found()
    if there is not None and there["status"]["phase"] == "Terminating":
        wait(f"the namespace {access.namespace} to be gone", lambda: found() is None, GOES)
        there = None
    if there is None:
        if named:
            raise trouble.no_namespace(access)
        access.ask("POST", "/api/v1/namespaces", manifest.namespace(NAMESPACE))
        return True
    if there["metadata"].get("labels", {}).get(manifest.ENFORCE) != "restricted":
        raise LabError(
            f"The namespace {access.namespace} takes pods that are not `restricted`: strangers' files run in one that does not.",
            where=access.context,
            fix=f"kubectl --context {access.context} label namespace {access.namespace} {manifest.ENFORCE}=restricted --overwrite",
        )
    return _is_ours(there)


def _is_ours(namespace: dict[str, Any]) -> bool:
    found = namespace["metadata"]
    return bool(found["name"] == NAMESPACE) and found.get("labels", {}).get(manifest.OURS) == manifest.GRADER


def _rights(access: Access) -> None:
    lacking = []
    for verb, kind, group in RIGHTS:
        resource, _, part = kind.partition("/")
        asked = {"namespace": access.namespace, "verb": verb, "group": group, "resource": resource}
        asked |= {"subresource": part} if part else {}
        review = access.ask(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": asked},
            },
        )
        if not review["status"].get("allowed"):
            lacking.append(f"{verb} {kind}")
    if lacking:
        raise LabError(
            f"You may not {', '.join(lacking)} in the namespace {access.namespace} of {access.context}.",
            fix=f"whoever owns that cluster: kubectl --context {access.context} -n {access.namespace} create rolebinding llmlab-grading "
            "--clusterrole=edit --user=YOU",
        )
