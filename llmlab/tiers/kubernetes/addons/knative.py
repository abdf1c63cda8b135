"""Knative Serving with Kourier: revisions of a container that come when requests do, and go when none do.

The objects are those of its own repositories, with one replica, our images, no reservations, and probes that look every second.
What is set differently from its defaults stands in `SETTINGS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from ..programs import binaries, images

NAMESPACE = "knative-serving"
#: Where requests come in: the Service `kourier`, whose Host names the service: NAME.NAMESPACE.example.com.
DOOR, DOOR_NAMESPACE, DOMAIN = "kourier", "kourier-system", "example.com"
#: Seconds without a request after which an instance goes. Knative's default is 60, and six the least it takes.
WINDOW = 6
#: ConfigMap → what is set in it.
SETTINGS = {
    "config-autoscaler": {
        "stable-window": f"{WINDOW}s",
        "panic-window-percentage": "20.0",  # of the window: a second at least
    },
    "config-defaults": {
        "max-revision-timeout-seconds": "3600",  # Cloud Run's longest
        # Kubernetes would reserve what is only a limit: a laptop has no eight CPUs for two instances of four.
        "revision-cpu-request": "10m",
        "revision-memory-request": "16Mi",
    },
    "config-deployment": {
        "progress-deadline": "120s",
        # Their images are here already, and nobody can ask those registries.
        "registries-skipping-tag-resolving": "index.docker.io,docker.io,"
        + ",".join(sorted({name.split("/")[0] for name in images.ELSEWHERE})),
    },
    "config-domain": {DOMAIN: ""},
    "config-features": {"multi-container-probing": "enabled"},  # as Cloud Run takes them
    "config-network": {"ingress-class": "kourier.ingress.networking.knative.dev"},
}
_SOURCES = {
    "knative-serving": "config/core",
    "knative-networking": "config",
    "knative-caching": "config",
    "knative-kourier": "config",
}
#: The image that a Deployment of theirs names → ours.
_IMAGES = {
    **{
        f"ko://knative.dev/serving/cmd/{name}": f"knative-{name}"
        for name in ("controller", "webhook", "autoscaler", "activator")
    },
    "ko://knative.dev/net-kourier/cmd/kourier": "knative-kourier",
}
_FIRST = ("Namespace", "CustomResourceDefinition", "ConfigMap")
_DROPPED = ("HorizontalPodAutoscaler", "PodDisruptionBudget", "Image")


def objects(*, runs_pods: bool) -> list[dict[str, Any]]:
    """All of it; what others read when they start comes first.

    :param runs_pods: False: only its definitions.
    """
    found = [_changed(document) for document in _documents() if document["kind"] not in _DROPPED]
    if not runs_pods:
        return [document for document in found if document["kind"] in _FIRST[:2]]
    order = {kind: number for number, kind in enumerate(_FIRST)} | {"Deployment": 99}
    return sorted(found, key=lambda document: order.get(document["kind"], len(_FIRST)))


def _documents() -> Iterator[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for source, folder in _SOURCES.items():
        home = binaries.folder(source)
        assert home is not None
        for path in sorted((home / folder).rglob("*.yaml")):
            for document in yaml.load_all(path.read_text(), Loader=loader):
                if document:
                    yield document


def _changed(document: dict[str, Any]) -> dict[str, Any]:
    kind, name = document["kind"], document["metadata"]["name"]
    if kind == "ConfigMap":
        settings = dict(SETTINGS.get(name, {}))
        if name == "config-deployment":
            settings["queue-sidecar-image"] = images.named("knative-queue").reference
        document["data"] = {**(document.get("data") or {}), **settings}
    elif kind == "Service" and name == DOOR:
        document["spec"]["type"] = "ClusterIP"  # nobody hands out addresses for load balancers here
    elif kind == "Deployment":
        _pods(document["spec"]["template"]["spec"])
    return document


def _pods(pod: dict[str, Any]) -> None:
    pod["terminationGracePeriodSeconds"] = 5
    for container in pod["containers"]:
        ours = _IMAGES.get(container["image"], "envoy")
        container["image"] = images.named(ours).name
        container["imagePullPolicy"] = "Never"
        container["resources"] = {}  # they ask for a whole CPU together
        container.pop("lifecycle", None)  # it wants a shell and curl
        for probe in ("livenessProbe", "readinessProbe"):
            if probe in container:
                container[probe] |= {"initialDelaySeconds": 0, "periodSeconds": 1, "failureThreshold": 60}
