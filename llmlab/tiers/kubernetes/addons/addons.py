"""What a cluster has besides Kubernetes itself, each brought up when a lab asks for it: DNS, storage, metrics, KEDA."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from ....errors import LabError
from ....say import Say
from ..programs import binaries, images
from . import envoy_gateway, knative
from .addon_objects import account, deployment, object_, service

SYSTEM = "kube-system"
OURS = "llmlab-system"
#: Where Prometheus answers inside the cluster.
PROMETHEUS = f"http://prometheus.{OURS}:9090"
Objects = Sequence[dict[str, Any]]


class Host(Protocol):
    """What add-ons must know of the cluster they are for."""

    @property
    def runs_pods(self) -> bool:
        """False: its pods are only said to run."""

    @property
    def added(self) -> list[str]:
        """The add-ons that it has."""

    @property
    def dns_address(self) -> str | None:
        """The address that kubelet tells pods to ask for names."""

    @property
    def volumes_at(self) -> str:
        """The folder of a node in which volumes are made."""

    def load(self, *images: str, say: Say) -> None:
        """Make images known to its nodes."""

    def run_kubectl(self, *words: str, input: str | None = None, within: float = 60) -> str:
        """What kubectl prints."""


def bring(cluster: Host, names: Sequence[str], say: Say, *, wait: bool = True) -> list[str]:
    """Bring add-ons up with those they rest on: all at once, and then wait until each is ready.

    :param wait: False: they come up while other things are done; bringing them again waits for them.
    :return: those that are ready.
    :raises LabError: for an unknown name, or with what the pods of one say.
    """
    wanted = [addon for addon in _with_rests(names) if addon not in cluster.added]
    if cluster.runs_pods and cluster.dns_address is None and "dns" in wanted:
        wanted.remove("dns")  # it has one of its own
    objects = {}
    for name in wanted:
        what, _, needs, make = _ADDONS[name]
        say(f"{name}: {what}")
        programs = [need for need in needs if need in images.names()]
        if cluster.runs_pods and programs:
            cluster.load(*programs, say=say)
        binaries.bring([need for need in needs if need not in programs], say)
        objects[name] = make(cluster)
        _apply(cluster, objects[name])
    if not wait:
        return []
    for name in wanted:
        if cluster.runs_pods:
            _ready(cluster, objects[name])
    return wanted


def _with_rests(names: Sequence[str]) -> list[str]:
    """The same, each behind those it rests on, each once."""
    found: list[str] = []
    for name in names:
        if name not in _ADDONS:
            raise LabError(f"There is no add-on {name!r}.", fix=f"one of {', '.join(_ADDONS)}")
        found += [addon for addon in (*_with_rests(_ADDONS[name][1]), name) if addon not in found]
    return found


def _apply(cluster: Host, objects: Objects) -> None:
    """Definitions first: what is of their kind can only come when the API server knows it."""
    first = [
        resource for resource in objects if resource["kind"] in ("Namespace", "CustomResourceDefinition")
    ]
    rest = [resource for resource in objects if resource not in first]
    for part in (first, rest):
        if part:
            _kubectl_apply(cluster, part)
        crds = [
            resource["metadata"]["name"]
            for resource in part
            if resource["kind"] == "CustomResourceDefinition"
        ]
        if crds:
            cluster.run_kubectl(
                "wait", "--for=condition=Established", "--timeout=30s", *(f"crd/{crd}" for crd in crds)
            )


def _ready(cluster: Host, objects: Objects) -> None:
    for resource in objects:
        if resource["kind"] == "Deployment":
            where = ("-n", resource["metadata"]["namespace"])
            line = (
                "rollout",
                "status",
                f"deployment/{resource['metadata']['name']}",
                *where,
                "--timeout=120s",
            )
            try:
                cluster.run_kubectl(*line, within=130)
            except LabError as error:
                said = cluster.run_kubectl(
                    "logs", f"deployment/{resource['metadata']['name']}", *where, "--tail=5"
                )
                raise LabError(
                    f"{resource['metadata']['name']} does not become ready: {error.what}\n{said}"
                ) from None
        elif resource["kind"] == "APIService":
            name = f"apiservice/{resource['metadata']['name']}"
            cluster.run_kubectl("wait", "--for=condition=Available", "--timeout=60s", name, within=70)
        elif resource["kind"] == "GatewayClass":
            name = f"gatewayclass/{resource['metadata']['name']}"
            cluster.run_kubectl("wait", "--for=condition=Accepted", "--timeout=60s", name, within=70)


def _kubectl_apply(cluster: Host, objects: Objects) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    cluster.run_kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)


def _dns(cluster: Host) -> Objects:
    corefile = """.:5353 {
    errors
    health :8081
    ready :8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        ttl 5
    }
    prometheus :9153
    cache 5
    loadbalance
}
"""
    pods = deployment(
        "coredns",
        SYSTEM,
        images.named("coredns").name,
        ["-conf", "/etc/coredns/Corefile"],
        labels={"k8s-app": "kube-dns"},
    )
    pod = pods["spec"]["template"]["spec"]
    pod["dnsPolicy"] = "Default"
    pod["volumes"] = [{"name": "config", "configMap": {"name": "coredns"}}]
    pod["containers"][0] |= {
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
    }
    ports = [
        {"name": "dns", "port": 53, "targetPort": 5353, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "targetPort": 5353, "protocol": "TCP"},
    ]
    front = service("kube-dns", SYSTEM, ports, {"k8s-app": "kube-dns"})
    front["spec"]["clusterIP"] = cluster.dns_address
    rules = [
        {
            "apiGroups": [""],
            "resources": ["endpoints", "services", "pods", "namespaces"],
            "verbs": ["list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    config = object_("v1", "ConfigMap", "coredns", SYSTEM) | {"data": {"Corefile": corefile}}
    return [*account("coredns", SYSTEM, rules), config, pods, front]


def _storage(cluster: Host) -> Objects:
    pods = deployment(
        "provisioner", SYSTEM, images.named("provisioner").name, [f"--there={cluster.volumes_at}"]
    )
    pod = pods["spec"]["template"]["spec"]
    pod["volumes"] = [
        {"name": "volumes", "hostPath": {"path": cluster.volumes_at, "type": "DirectoryOrCreate"}}
    ]
    pod["containers"][0] |= {
        "volumeMounts": [{"name": "volumes", "mountPath": "/volumes"}],
        "securityContext": {"runAsUser": 0},  # it makes folders for others
    }
    rules = [
        {
            "apiGroups": [""],
            "resources": ["persistentvolumes"],
            "verbs": ["get", "list", "watch", "create", "delete", "patch", "update"],
        },
        {
            "apiGroups": [""],
            "resources": ["persistentvolumeclaims"],
            "verbs": ["get", "list", "watch", "update"],
        },
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "update", "patch"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch"]},
    ]
    kind = object_("storage.k8s.io/v1", "StorageClass", "standard") | {
        "provisioner": "llmlab.org/node-folder",
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    kind["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [*account("provisioner", SYSTEM, rules), kind, *([pods] if cluster.runs_pods else [])]


def _metrics(cluster: Host) -> Objects:
    flags = [
        "--cert-dir=/certs",
        "--secure-port=10250",
        "--kubelet-insecure-tls",
        "--kubelet-preferred-address-types=InternalIP",
        "--metric-resolution=10s",
        "--kubelet-request-timeout=5s",
    ]
    pods = deployment("metrics-server", SYSTEM, images.named("metrics-server").name, flags)
    pod = pods["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "certs", "emptyDir": {}}]
    pod["containers"][0] |= {
        "volumeMounts": [{"name": "certs", "mountPath": "/certs"}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": 10250, "scheme": "HTTPS"},
            "periodSeconds": 2,
            "failureThreshold": 30,
        },
    }
    rules = [
        {"apiGroups": [""], "resources": ["nodes/metrics"], "verbs": ["get"]},
        {
            "apiGroups": [""],
            "resources": ["pods", "nodes", "namespaces", "configmaps"],
            "verbs": ["get", "list", "watch"],
        },
    ]
    api = object_("apiregistration.k8s.io/v1", "APIService", "v1beta1.metrics.k8s.io") | {
        "spec": {
            "service": {"name": "metrics-server", "namespace": SYSTEM},
            "group": "metrics.k8s.io",
            "version": "v1beta1",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
        }
    }
    front = service("metrics-server", SYSTEM, [{"port": 443, "targetPort": 10250}], {"app": "metrics-server"})
    return [*account("metrics-server", SYSTEM, rules, delegates=True), pods, front, api]


def _prometheus(cluster: Host) -> Objects:
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {
                "job_name": "pods",
                "kubernetes_sd_configs": [{"role": "pod"}],
                "relabel_configs": [
                    {
                        "source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"],
                        "regex": "true",
                        "action": "keep",
                    },
                    {"source_labels": ["__meta_kubernetes_pod_phase"], "regex": "Running", "action": "keep"},
                    {
                        "source_labels": [
                            "__address__",
                            "__meta_kubernetes_pod_annotation_prometheus_io_port",
                        ],
                        "regex": r"([^:]+)(?::\d+)?;(\d+)",
                        "replacement": "$1:$2",
                        "target_label": "__address__",
                    },
                    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
                    {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
                ],
            }
        ],
    }
    flags = [
        "--config.file=/etc/prometheus/prometheus.yml",
        "--storage.tsdb.path=/data",
        "--storage.tsdb.retention.time=2h",
    ]
    pods = deployment("prometheus", OURS, images.named("prometheus").name, flags)
    pod = pods["spec"]["template"]["spec"]
    pod["volumes"] = [
        {"name": "config", "configMap": {"name": "prometheus"}},
        {"name": "data", "emptyDir": {}},
    ]
    pod["containers"][0] |= {
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/prometheus"},
            {"name": "data", "mountPath": "/data"},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/-/ready", "port": 9090},
            "periodSeconds": 1,
            "failureThreshold": 60,
        },
    }
    rules = [
        {
            "apiGroups": [""],
            "resources": ["pods", "nodes", "services", "endpoints"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    text = object_("v1", "ConfigMap", "prometheus", OURS) | {
        "data": {"prometheus.yml": yaml.safe_dump(config)}
    }
    front = service("prometheus", OURS, [{"port": 9090, "targetPort": 9090}], {"app": "prometheus"})
    return [object_("v1", "Namespace", OURS), *account("prometheus", OURS, rules), text, pods, front]


def _keda(cluster: Host) -> Objects:
    """KEDA's own manifests, with our images, one replica of each and probes that do not wait longer than it does."""
    top = binaries.folder("keda")
    assert top is not None
    wanted = ("crd", "general", "rbac", "manager", "metrics-server", "service_account")
    return _ours(_rendered(cluster, top / "config", wanted))


def _rendered(cluster: Host, config: Path, parts: Sequence[str]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:  # kustomize takes only bases below its own folder
            shutil.copytree(config / part, Path(folder) / part)
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump({"resources": list(parts)}))
        out = cluster.run_kubectl("kustomize", folder)
    return [document for document in yaml.safe_load_all(out) if document]


def _ours(objects: list[dict[str, Any]]) -> Objects:
    made = {"keda-operator": "keda", "keda-metrics-apiserver": "keda-adapter"}
    for resource in objects:
        if resource["kind"] != "Deployment":
            continue
        pod = resource["spec"]["template"]["spec"]
        for container in pod["containers"]:
            container["image"] = images.named(made.get(resource["metadata"]["name"], "keda")).name
            container["imagePullPolicy"] = "Never"
            container.pop("command", None)  # its image has another place for the program
            container["resources"] = {}
            for probe in ("livenessProbe", "readinessProbe"):
                if probe in container:
                    container[probe] |= {"initialDelaySeconds": 0, "periodSeconds": 1, "failureThreshold": 60}
    return objects


def _gateway_api(cluster: Host) -> Objects:
    return binaries.definitions("gateway-api")


def _envoy_gateway(cluster: Host) -> Objects:
    return envoy_gateway.objects(runs_pods=cluster.runs_pods)


def _knative(cluster: Host) -> Objects:
    return knative.objects(runs_pods=cluster.runs_pods)


#: What it is, the add-ons it rests on, its programs and sources, its objects.
_ADDONS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], Callable[[Host], Objects]]] = {
    "dns": ("CoreDNS", (), ("coredns",), _dns),
    "storage": ("a default StorageClass", (), ("provisioner",), _storage),
    "metrics-server": ("CPU and memory of pods", (), ("metrics-server",), _metrics),
    "prometheus": ("scrapes annotated pods every second", (), ("prometheus",), _prometheus),
    "keda": ("scales on queries", ("dns", "prometheus"), ("keda", "keda-adapter"), _keda),
    "gateway-api": ("the definitions of Gateway and HTTPRoute", (), ("gateway-api",), _gateway_api),
    "envoy-gateway": (
        "makes doors of Gateways and routes",
        ("dns", "gateway-api"),
        ("envoy-gateway", "envoy", "envoy-gateway-crds"),
        _envoy_gateway,
    ),
    "knative": (
        "instances that come with requests and go without",
        ("dns",),
        (
            *(
                f"knative-{name}"
                for name in ("queue", "controller", "webhook", "autoscaler", "activator", "kourier")
            ),
            "envoy",
            "knative-networking",
            "knative-caching",
        ),
        _knative,
    ),
}
NAMES = tuple(_ADDONS)
