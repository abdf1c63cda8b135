"""Who may do what in a cluster of ours: Pod Security for everybody, and the learner's rights.

The learner (whose files are applied) may make namespaces, and is `admin` in those that a lab gives it; nothing else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cluster import LEARNER
from .pki import dump

if TYPE_CHECKING:
    from .cluster import Cluster

#: Where our own things run, some of which need more than `baseline` allows.
SYSTEM = ("kube-system", "keda", "llmlab-system")


def admission(folder: Path) -> Path:
    """Write the API server's admission configuration: no pod outside of `SYSTEM` may reach the node (baseline)."""
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline", "enforce-version": "latest"},
        "exemptions": {"namespaces": list(SYSTEM)},
    }
    file = folder / "admission.json"
    file.write_text(
        dump(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "AdmissionConfiguration",
                "plugins": [{"name": "PodSecurity", "configuration": security}],
            }
        )
    )
    return file


def own(folder: Path) -> None:
    """Make `admin.conf` the owner of the cluster: kubeadm binds its group to nothing by itself.

    :raises kubernetes.client.ApiException: when the API server refuses.
    """
    from kubernetes import client, config

    held = client.Configuration()
    config.load_kube_config(str(folder / "super-admin.conf"), client_configuration=held)
    held.proxy = None  # type: ignore[assignment]
    with client.ApiClient(held) as api:
        _make(
            client.RbacAuthorizationV1Api(api).create_cluster_role_binding,
            _bound("kubeadm:cluster-admins", "cluster-admin", "Group"),
        )


def grant(cluster: Cluster, namespaces: Sequence[str]) -> None:
    """Let the learner make namespaces and see nodes, and be `admin` in these, also before they are there.

    The bindings in a namespace come with it: call it again after one was made.
    """
    from kubernetes import client

    rights = client.RbacAuthorizationV1Api(cluster.api)
    role = {
        "metadata": {"name": "llmlab:learner"},
        "rules": [
            {
                "apiGroups": [""],
                "resources": ["namespaces"],
                "verbs": ["create", "get", "list", "watch", "patch"],
            },
            {
                "apiGroups": [""],
                "resources": ["nodes", "persistentvolumes"],
                "verbs": ["get", "list", "watch"],
            },
            {
                "apiGroups": ["resource.k8s.io"],
                "resources": ["deviceclasses", "resourceslices"],
                "verbs": ["get", "list", "watch"],
            },
        ],
    }
    # What `admin` has not: claims of devices, autoscalers of KEDA, routes.
    more = {
        "metadata": {"name": "llmlab:learner-more"},
        "rules": [
            {
                "apiGroups": ["resource.k8s.io"],
                "resources": ["resourceclaims", "resourceclaimtemplates"],
                "verbs": ["*"],
            },
            {
                "apiGroups": ["keda.sh"],
                "resources": ["scaledobjects", "scaledjobs", "triggerauthentications"],
                "verbs": ["*"],
            },
            {"apiGroups": ["gateway.networking.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["resourcequotas", "limitranges"], "verbs": ["*"]},
        ],
    }
    for one in (role, more):
        _make(rights.create_cluster_role, one)
    _make(rights.create_cluster_role_binding, _bound("llmlab:learner", "llmlab:learner"))
    for namespace in namespaces:
        with contextlib.suppress(client.ApiException):  # not there yet
            client.CoreV1Api(cluster.api).read_namespace(namespace)
            for role_name in ("admin", "llmlab:learner-more"):
                body = _bound(f"llmlab:{role_name.removeprefix('llmlab:')}", role_name) | {
                    "kind": "RoleBinding"
                }
                _make(lambda body, at=namespace: rights.create_namespaced_role_binding(at, body), body)


def _bound(name: str, role: str, kind: str = "User") -> dict[str, Any]:
    who = name if kind == "Group" else LEARNER
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": kind, "name": who, "apiGroup": "rbac.authorization.k8s.io"}],
    }


def _make(create: Any, body: dict[str, Any]) -> None:
    from kubernetes import client

    try:
        create(body)
    except client.ApiException as error:
        if error.status != 409:  # it is there
            raise
