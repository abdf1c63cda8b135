"""The Kubernetes objects that add-ons are made of."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from ..programs.images import USER


def object_(api: str, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
    """An object with nothing in it yet."""
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name, **({"namespace": namespace} if namespace else {})},
    }


def deployment(
    name: str, namespace: str, image: str, args: Sequence[str], *, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """One replica of one container, as nobody in particular, under an account of its own name."""
    labels = dict(labels or {"app": name})
    pod = {
        "serviceAccountName": name,
        "containers": [{"name": name, "image": image, "imagePullPolicy": "Never", "args": list(args)}],
        "securityContext": {"runAsUser": USER, "runAsGroup": USER, "fsGroup": USER},
        "terminationGracePeriodSeconds": 1,
        "tolerations": [{"operator": "Exists", "key": "node-role.kubernetes.io/control-plane"}],
    }
    return object_("apps/v1", "Deployment", name, namespace) | {
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
    }


def service(
    name: str, namespace: str, ports: list[dict[str, Any]], selector: Mapping[str, str]
) -> dict[str, Any]:
    """A Service with an address of its own."""
    return object_("v1", "Service", name, namespace) | {"spec": {"ports": ports, "selector": dict(selector)}}


def secret(name: str, namespace: str, kind: str, data: Mapping[str, bytes]) -> dict[str, Any]:
    """A Secret with this in it."""
    held = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return object_("v1", "Secret", name, namespace) | {"type": kind, "data": held}


def account(
    name: str,
    namespace: str,
    rules: list[dict[str, Any]],
    *,
    delegates: bool = False,
    at_home: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """An account that may do what `rules` say in the whole cluster.

    :param delegates: it serves an API of its own: who asks it for something is looked up at the real API server.
    :param at_home: what else it may do in its namespace.
    """
    who = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    full = f"llmlab:{name}"

    def bound(binding: str, role: str, at: str | None = None) -> dict[str, Any]:
        kind = "RoleBinding" if at else "ClusterRoleBinding"
        ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role" if at else "ClusterRole", "name": role}
        return object_("rbac.authorization.k8s.io/v1", kind, binding, at) | {
            "roleRef": ref,
            "subjects": [who],
        }

    made = [
        object_("v1", "ServiceAccount", name, namespace),
        object_("rbac.authorization.k8s.io/v1", "ClusterRole", full) | {"rules": rules},
        bound(full, full),
    ]
    if at_home:
        role = object_("rbac.authorization.k8s.io/v1", "Role", full, namespace) | {"rules": list(at_home)}
        made += [role, bound(full, full, namespace)]
    if delegates:
        made += [
            bound(f"{full}:delegator", "system:auth-delegator"),
            bound(f"{full}:reader", "extension-apiserver-authentication-reader", "kube-system"),
        ]
    return made
