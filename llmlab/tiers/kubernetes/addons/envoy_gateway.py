"""Envoy Gateway: a controller that makes an Envoy of every Gateway, and its configuration of the routes and policies beside it.

The objects are those of its chart, with one replica, our images, and probes that look every second: those of an Envoy
would look every ten. Its certificates are made here: the chart's Job does the same, ten seconds later.
"""

from __future__ import annotations

import secrets
from typing import Any

import yaml

from ....system.certificates import Authority, Certificate
from ..programs import binaries, images
from .addon_objects import account, deployment, object_, secret, service

NAMESPACE = "envoy-gateway-system"
#: The class that a Gateway names, as in Envoy Gateway's own documents.
GATEWAY_CLASS = "eg"
CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
_NAME = "envoy-gateway"
_READ, _WRITE = (
    ["get", "list", "watch"],
    ["create", "get", "list", "delete", "deletecollection", "patch", "watch"],
)
_PORTS = {"grpc": 18000, "ratelimit": 18001, "wasm": 18002, "metrics": 19001}


def objects(*, runs_pods: bool) -> list[dict[str, Any]]:
    """All of it, its own definitions included.

    :param runs_pods: False: without the controller; what it should look at can be applied, and nobody does.
    """
    made = [
        object_("v1", "Namespace", NAMESPACE),
        *binaries.definitions("envoy-gateway-crds"),
        object_("gateway.networking.k8s.io/v1", "GatewayClass", GATEWAY_CLASS)
        | {"spec": {"controllerName": CONTROLLER}},
    ]
    return made + (_controller() if runs_pods else [])


def _controller() -> list[dict[str, Any]]:
    pods = deployment(
        _NAME, NAMESPACE, images.named(_NAME).name, ["server", "--config-path=/config/envoy-gateway.yaml"]
    )
    pod = pods["spec"]["template"]["spec"]
    pod["volumes"] = [
        {"name": "config", "configMap": {"name": "envoy-gateway-config"}},
        {"name": "certs", "secret": {"secretName": _NAME}},
        {"name": "wasm", "emptyDir": {}},
    ]
    pod["containers"][0] |= {
        "env": [
            {"name": "ENVOY_GATEWAY_NAMESPACE", "value": NAMESPACE},
            {"name": "KUBERNETES_CLUSTER_DOMAIN", "value": "cluster.local"},
        ],
        "volumeMounts": [
            {"name": "config", "mountPath": "/config"},
            {"name": "certs", "mountPath": "/certs"},
            {"name": "wasm", "mountPath": "/var/lib/eg/wasm"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 8081},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    ports = [{"name": name, "port": port, "targetPort": port} for name, port in _PORTS.items()]
    config = object_("v1", "ConfigMap", "envoy-gateway-config", NAMESPACE) | {
        "data": {"envoy-gateway.yaml": yaml.safe_dump(_config())}
    }
    return [
        *_secrets(),
        config,
        *account(_NAME, NAMESPACE, _rules(), at_home=_at_home()),
        service(_NAME, NAMESPACE, ports, {"app": _NAME}),
        pods,
    ]


def _config() -> dict[str, Any]:
    probes = {name: {"periodSeconds": 1} for name in ("startupProbe", "readinessProbe")}
    envoys = {
        "container": {
            "image": images.named("envoy").name,
            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
        },
        "patch": {
            "value": {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [{"name": name, **probes} for name in ("envoy", "shutdown-manager")]
                        }
                    }
                }
            }
        },
    }
    # Nobody hands out addresses for load balancers here: that of the Service is the door's.
    door = {"type": "ClusterIP"}
    return {
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyGateway",
        "gateway": {"controllerName": CONTROLLER},
        "logging": {"level": {"default": "info"}},
        # What its API has no word for can be put into an Envoy, by whoever owns the cluster.
        "extensionApis": {"enableEnvoyPatchPolicy": True},
        "provider": {
            "type": "Kubernetes",
            "kubernetes": {
                "leaderElection": {"disable": True},
                "proxyTopologyInjector": {"disabled": True},
                "shutdownManager": {"image": images.named(_NAME).name},
            },
        },
        "envoyProxy": {
            "provider": {
                "type": "Kubernetes",
                "kubernetes": {"envoyDeployment": envoys, "envoyService": door},
            },
            # 60 s and 10 s by default: a door that a lab takes away goes while the next one comes
            "shutdown": {"drainTimeout": "10s", "minDrainDuration": "1s"},
        },
    }


def _rules() -> list[dict[str, Any]]:
    own = ["envoyproxies", "envoypatchpolicies", "clienttrafficpolicies", "backendtrafficpolicies"]
    own += ["securitypolicies", "envoyextensionpolicies", "backends"]
    routes = ["gateways", "listenersets", "grpcroutes", "httproutes", "tcproutes", "tlsroutes", "udproutes"]
    routes += ["backendtlspolicies"]

    def rule(group: str, verbs: list[str], resources: list[str]) -> dict[str, Any]:
        return {"apiGroups": [group], "resources": resources, "verbs": verbs}

    return [
        rule("", _READ, ["configmaps", "secrets", "services", "nodes", "namespaces"]),
        rule("apps", _READ, ["deployments", "daemonsets"]),
        rule("discovery.k8s.io", _READ, ["endpointslices"]),
        rule("gateway.envoyproxy.io", _READ, [*own, "httproutefilters"]),
        rule("gateway.envoyproxy.io", ["update"], [f"{resource}/status" for resource in own]),
        rule("gateway.networking.k8s.io", _READ, [*routes, "referencegrants"]),
        rule("gateway.networking.k8s.io", [*_READ, "patch", "update"], ["gatewayclasses"]),
        rule(
            "gateway.networking.k8s.io",
            ["update"],
            [f"{resource}/status" for resource in (*routes, "gatewayclasses")],
        ),
        rule("multicluster.x-k8s.io", _READ, ["serviceimports"]),
    ]


def _at_home() -> list[dict[str, Any]]:
    """The Envoys are all made in its own namespace."""
    makes = {
        "": ["serviceaccounts", "services", "configmaps"],
        "apps": ["deployments", "daemonsets"],
        "autoscaling": ["horizontalpodautoscalers"],
        "policy": ["poddisruptionbudgets"],
    }
    rules = [{"apiGroups": [group], "resources": kinds, "verbs": _WRITE} for group, kinds in makes.items()]
    return [*rules, {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]


def _secrets() -> list[dict[str, Any]]:
    """By which controller and Envoys know each other, and the secret that its sessions are signed with."""
    authority = Authority(_NAME)
    names = (
        _NAME,
        f"{_NAME}.{NAMESPACE}",
        f"{_NAME}.{NAMESPACE}.svc",
        f"{_NAME}.{NAMESPACE}.svc.cluster.local",
    )
    held = {_NAME: authority.issue(*names), "envoy": authority.issue(f"*.{NAMESPACE}")}
    held["envoy-rate-limit"] = held["envoy"]
    made = [_tls(name, certificate, authority.certificate) for name, certificate in held.items()]
    signed = _secret("envoy-oidc-hmac", "Opaque", {"hmac-secret": secrets.token_bytes(32)})
    return [*made, signed]


def _tls(name: str, held: Certificate, authority: bytes) -> dict[str, Any]:
    data = {"ca.crt": authority, "tls.crt": held.certificate, "tls.key": held.private_key}
    return _secret(name, "kubernetes.io/tls", data)


def _secret(name: str, kind: str, data: dict[str, bytes]) -> dict[str, Any]:
    made = secret(name, NAMESPACE, kind, data)
    made["metadata"]["labels"] = {"control-plane": _NAME}
    return made
