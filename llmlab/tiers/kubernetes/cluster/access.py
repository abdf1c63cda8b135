"""Who may do what in a cluster of ours: Pod Security for everybody, and the learner's rights.

The learner (whose files are applied) may make namespaces, and deploys in those that a lab gives it; nothing else.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....system.waiting import wait
from ..programs.pki import dump

if TYPE_CHECKING:
    from .api_client import HasLearner

#: As whom the learner's files are applied: free in its namespaces, and nobody outside of them.
LEARNER = "learner"
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
    held.proxy = None
    with client.ApiClient(held) as api:
        _make(
            client.RbacAuthorizationV1Api(api).create_cluster_role_binding,
            _bound("kubeadm:cluster-admins", "cluster-admin", "Group"),
        )


def grant(cluster: HasLearner, namespaces: Sequence[str]) -> None:
    """Let the learner make namespaces and see nodes, and deploy in these.

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
            {
                "apiGroups": ["gateway.networking.k8s.io"],
                "resources": ["gatewayclasses"],
                "verbs": ["get", "list", "watch"],
            },
        ],
    }
    # Not the built-in `admin`: a controller puts that together, which a young cluster has not come to yet.
    groups = [
        "",
        "apps",
        "autoscaling",
        "batch",
        "discovery.k8s.io",
        "events.k8s.io",
        "networking.k8s.io",
        "policy",
    ]
    groups += [
        "gateway.networking.k8s.io",
        "keda.sh",
        "metrics.k8s.io",
        "resource.k8s.io",
        "serving.knative.dev",
    ]
    # Not EnvoyProxy: its pods would be made by a controller that may read every Secret.
    policies = [
        "backendtrafficpolicies",
        "clienttrafficpolicies",
        "envoyextensionpolicies",
        "securitypolicies",
    ]
    more = {
        "metadata": {"name": "llmlab:deployer"},
        "rules": [
            {"apiGroups": groups, "resources": ["*"], "verbs": ["*"]},
            {
                "apiGroups": ["gateway.envoyproxy.io"],
                "resources": [*policies, "httproutefilters"],
                "verbs": ["*"],
            },
        ],
    }
    for cluster_role in (role, more):
        _make(rights.create_cluster_role, cluster_role)
    _make(rights.create_cluster_role_binding, _bound("llmlab:learner", "llmlab:learner"))
    for namespace in namespaces:
        with contextlib.suppress(client.ApiException):  # not there yet
            client.CoreV1Api(cluster.api).read_namespace(namespace)
            body = _bound("llmlab:deployer", "llmlab:deployer") | {"kind": "RoleBinding"}
            _make(functools.partial(rights.create_namespaced_role_binding, namespace), body)
            wait(
                f"the learner's rights in {namespace}", functools.partial(_may_deploy, cluster, namespace), 30
            )


def _may_deploy(cluster: HasLearner, namespace: str) -> bool:
    from kubernetes import client

    asked = {"namespace": namespace, "verb": "patch", "group": "apps", "resource": "deployments"}
    review = client.AuthorizationV1Api(cluster.learner).create_self_subject_access_review(
        {"spec": {"resourceAttributes": asked}}
    )
    return bool(review.status.allowed)


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
