"""The objects of one batch, as plain documents: its Job, what goes into its pods, and the policy that keeps them from the network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..rules import Rules
from . import steps
from .reach import NODE

#: On everything of a batch; its value is the batch's name.
BATCH = "llmlab.org/batch"
#: On namespaces of ours.
OURS = "llmlab.org/owner"
GRADER = "llmlab-grade"
ENFORCE = "pod-security.kubernetes.io/enforce"
INDEX = "batch.kubernetes.io/job-completion-index"
#: Who the learner's cells run as, and who the checks do.
CELLS_USER, CHECKS_USER = 65531, 65532
KEPT = 86_400  # seconds that a finished Job is kept for a grader that comes back
TRIES = 2  # of one index, after the first
DISK_SPARE = 64 << 20  # bytes of the volume between the two containers


@dataclass(frozen=True, slots=True)
class PodShape:
    """How the pods of a batch are made."""

    image: str  # reference
    parallelism: int  # pods at once
    alone: bool  # no two of ours on a node: they measure
    runtime: str = ""  # a RuntimeClass whose pods have no way out


def names(batch: str, parcels: int) -> dict[str, list[str]]:
    """What the objects of a batch are called, by kind."""
    secrets = [f"{batch}-lab", f"{batch}-sealed", *(f"{batch}-{number}" for number in range(parcels))]
    return {"secrets": secrets, "networkpolicies": [batch], "jobs": [batch]}


def secret(
    name: str, batch: str, data: Mapping[str, bytes], owner: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Bytes by key; never changed, so that no node watches it.

    :param owner: the Job that it goes with, as an owner reference.
    """
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(name, batch) | ({"ownerReferences": [dict(owner)]} if owner else {}),
        "immutable": True,
        "data": {key: base64.b64encode(content).decode() for key, content in data.items()},
    }


def policy(batch: str) -> dict[str, Any]:
    """Nothing in and nothing out, where something enforces it."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(batch, batch),
        "spec": {
            "podSelector": {"matchLabels": {BATCH: batch}},
            "policyTypes": ["Ingress", "Egress"],
        },
    }


def namespace(name: str) -> dict[str, Any]:
    """One of ours, in which the API server refuses any pod that is not `restricted`."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {OURS: GRADER, ENFORCE: "restricted"}},
    }


def job(batch: str, rules: Rules, shape: PodShape, *, indexes: int, parcels: int) -> dict[str, Any]:
    """One index a submission. What the cluster itself disturbs is tried again for nothing, what fails by itself twice more.

    :param parcels: how many Secrets the submissions lie in.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(batch, batch),
        "spec": {
            "completionMode": "Indexed",
            "completions": indexes,
            "parallelism": min(shape.parallelism, indexes),
            "backoffLimitPerIndex": TRIES,
            "maxFailedIndexes": min(indexes, max(5, indexes // 5)),
            "ttlSecondsAfterFinished": KEPT,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "operator": "In",
                            "values": [
                                steps.ANOTHER_VERSION,
                                steps.NETWORK_OPEN,
                                steps.UNREADABLE,
                                steps.LACKING,
                            ],
                        },
                    },
                    {
                        "action": "FailIndex",  # the same cells would use it up again
                        "onExitCodes": {"operator": "In", "values": [steps.OUT_OF_MEMORY]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {"labels": {BATCH: batch, "app.kubernetes.io/name": GRADER}},
                "spec": _pod(batch, rules, shape, parcels),
            },
        },
    }


def _pod(batch: str, rules: Rules, shape: PodShape, parcels: int) -> dict[str, Any]:
    scratch = {"medium": "Memory", "sizeLimit": str(rules.disk)}
    submissions = [{"secret": {"name": f"{batch}-{number}"}} for number in range(parcels)]
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "activeDeadlineSeconds": round(2 * (rules.notebook + rules.checks) + 900),
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "initContainers": [
            _container(
                "notebook",
                rules,
                shape,
                user=CELLS_USER,
                mounts=[_mount("handover", "/handover"), *_scratch("cells")],
            )
        ],
        "containers": [
            _container(
                "checks",
                rules,
                shape,
                user=CHECKS_USER,
                mounts=[
                    _mount("handover", "/handover", readOnly=True),
                    _mount("sealed", "/in/sealed", readOnly=True, subPathExpr="$(INDEX)"),
                    *_scratch("checks"),
                ],
            )
        ],
        "volumes": [
            {"name": "lab", "secret": {"secretName": f"{batch}-lab"}},
            {"name": "sealed", "secret": {"secretName": f"{batch}-sealed"}},
            {"name": "submissions", "projected": {"sources": submissions}},
            {"name": "handover", "emptyDir": {"medium": "Memory", "sizeLimit": str(DISK_SPARE)}},
            *(
                {"name": f"{step}-{part}", "emptyDir": dict(scratch)}
                for step in ("cells", "checks")
                for part in ("work", "course", "tmp")
            ),
        ],
    }
    if shape.runtime:
        pod["runtimeClassName"] = shape.runtime
    if shape.alone:
        apart = {
            "labelSelector": {"matchLabels": {"app.kubernetes.io/name": GRADER}},
            "namespaceSelector": {},
            "topologyKey": "kubernetes.io/hostname",
        }
        pod["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    return pod


def _container(
    name: str, rules: Rules, shape: PodShape, *, user: int, mounts: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    # What is asked for is what a node must have free: half of what may be used, where several of them share one.
    cpus = rules.cpus / 2 if shape.alone else min(0.5, rules.cpus / 2)
    return {
        "name": name,
        "image": shape.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-P", "-m", "llmlab.grade.pods.steps", name],
        "workingDir": "/work",
        "env": [
            {"name": "INDEX", "valueFrom": _field(f"metadata.annotations['{INDEX}']")},
            {"name": NODE, "valueFrom": _field("status.hostIP")},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": "HOME", "value": "/work"},
            {"name": "LLMLAB_CACHE", "value": "/work/.cache"},
            {"name": "LLMLAB_STATE", "value": "/work/.state"},
        ],
        "resources": {
            "requests": {"cpu": f"{cpus:g}", "memory": str(rules.memory // 2)},
            "limits": {"cpu": f"{rules.cpus:g}", "memory": str(rules.memory)},
        },
        "securityContext": {
            "runAsUser": user,
            "runAsGroup": user,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            _mount("lab", "/in/lab", readOnly=True, subPath="lab"),
            _mount("submissions", "/in/parcel", readOnly=True, subPathExpr="$(INDEX)"),
            *mounts,
        ],
    }


def _scratch(step: str) -> list[dict[str, Any]]:
    return [_mount(f"{step}-{part}", f"/{part}") for part in ("work", "course", "tmp")]


def _mount(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **more}


def _field(path: str) -> dict[str, Any]:
    return {"fieldRef": {"fieldPath": path}}


def _metadata(name: str, batch: str) -> dict[str, Any]:
    return {"name": name, "labels": {BATCH: batch, "app.kubernetes.io/name": GRADER}}
