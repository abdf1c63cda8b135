"""A Cloud Run service.yaml on a real Knative: read, applied as it is, reached through its door, watched from outside.

Knative Serving is the API that Cloud Run speaks. What only Google understands is set aside before it is applied, and said.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from ...errors import LabError
from ...system.named_client import named_client
from ...system.waiting import wait
from ..kubernetes.addons.knative import DOMAIN, DOOR, DOOR_NAMESPACE
from ..kubernetes.manifests import manifests
from ..kubernetes.manifests.applied import Applied
from ..kubernetes.manifests.manifests import Document
from ..kubernetes.manifests.pods import pods, ready_pods
from ..kubernetes.manifests.trouble import trouble

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..kubernetes.cluster.cluster import Cluster

API, VERSION = "serving.knative.dev", "v1"
ACCELERATOR = "run.googleapis.com/accelerator"
GPU = "nvidia.com/gpu"
#: What a Cloud Run instance has of it where the file says nothing (its documentation, "Configure memory limits" and "CPU limits").
DEFAULTS = {"cpu": "1", "memory": "512Mi"}
#: Annotations of Cloud Run's on services and revisions (its "YAML reference"); none of them acts here.
_NAMES = (
    "launch-stage", "ingress", "ingress-status", "operation-id", "client-name", "client-version", "description",
    "minScale", "maxScale", "scalingMode", "manualInstanceCount", "invoker-iam-disabled", "default-url-disabled",
    "custom-audiences", "binary-authorization", "binary-authorization-breakglass", "iap-enabled", "build-id",
    "build-image-uri", "build-source-location", "build-function-target", "build-base-image", "build-name",
    "execution-environment", "cpu-throttling", "startup-cpu-boost", "container-dependencies", "sessionAffinity",
    "vpc-access-connector", "vpc-access-egress", "network-interfaces", "cloudsql-instances", "secrets", "encryption-key",
    "encryption-key-shutdown-hours", "post-key-revocation-action-type", "base-images", "gpu-zonal-redundancy-disabled",
    "health-check-disabled", "threat-detection", "urls",
)  # fmt: skip
ANNOTATIONS = frozenset(f"run.googleapis.com/{name}" for name in _NAMES)
#: What this Knative is not, of what Cloud Run is.
NOT_IMITATED = (
    "no IAM: whoever reaches the door may ask",
    "CPU is there between requests, and startup boost is not given",
    "nothing is billed",
    "a request may be as large as it likes",
    "an instance gets up to timeoutSeconds to end where Cloud Run gives ten seconds",
    "an idle instance goes after six seconds where Cloud Run keeps one for up to fifteen minutes",
)


@dataclass(frozen=True, slots=True)
class RunService:
    """What a service.yaml asks for: the document as Knative gets it, and what was set aside, at its lines."""

    document: Document
    aside: tuple[str, ...]  # each `file:line: what, and why`

    @property
    def name(self) -> str:
        """The service's."""
        return self.document.name

    @property
    def template(self) -> dict[str, Any]:
        """What its revisions are made of: metadata and spec."""
        found: dict[str, Any] = self.document.body["spec"]["template"]
        return found

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Its containers."""
        return list(self.template["spec"]["containers"])

    @property
    def ingress(self) -> dict[str, Any]:
        """The container that requests come to: the one with a port, or the only one."""
        with_port = [container for container in self.containers if container.get("ports")]
        return (with_port or self.containers)[0]

    @property
    def port(self) -> int:
        """That $PORT says; 8080 where the file says nothing, as on Cloud Run."""
        ports = self.ingress.get("ports") or [{}]
        found = _map(ports[0] if isinstance(ports, list) else {}).get("containerPort", 8080)
        return found if isinstance(found, int) else 8080  # the API server says what is wrong with it

    @property
    def concurrency(self) -> int:
        """Requests that an instance gets at once; 0: as many as come, Knative's default."""
        found = self.template["spec"].get("containerConcurrency")
        return found if isinstance(found, int) else 0

    def on_port(self, port: int) -> RunService:
        """The same where the platform has chosen another port: probes of the old one follow, as Cloud Run fills them in."""
        body, before = copy.deepcopy(self.document.body), self.port
        made = replace(self, document=replace(self.document, body=body))
        ingress = made.ingress
        first, *_ = ingress.get("ports") or [{}]
        ingress["ports"] = [{**_map(first), "containerPort": port}]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            for how in ("httpGet", "tcpSocket", "grpc"):
                asked = _map(_map(ingress.get(probe)).get(how))
                if asked.get("port") == before:
                    asked["port"] = port
        return made

    def with_annotations(self, **annotations: str) -> RunService:
        """The same with these on its template, `_` for `-` and the group autoscaling.knative.dev."""
        body = copy.deepcopy(self.document.body)
        meta = body["spec"]["template"].setdefault("metadata", {})
        meta["annotations"] = {
            **(meta.get("annotations") or {}),
            **{f"autoscaling.knative.dev/{name.replace('_', '-')}": it for name, it in annotations.items()},
        }
        return replace(self, document=replace(self.document, body=body))


def read(folder: Path, name: str, namespace: str) -> RunService:
    """A service.yaml, whatever project its namespace names.

    :param namespace: that it is applied in.
    :raises LabError: it is no Service of Knative's, or has no containers: with file and line.
    """
    path = folder / name
    found = [
        document
        for document in manifests.read(folder, [name], namespaces=[namespace, *_projects(path)])
        if document.kind == "Service" and document.api_version.startswith(f"{API}/")
    ]
    if len(found) > 1:
        raise LabError(f"There are {len(found)} Services in {name}, and one is wanted.", where=found[1].where)
    if found:
        return _read(found[0], namespace)
    raise LabError(
        f"{name} has no Service of {API}/{VERSION} in it.",
        where=f"{name}:1",
        fix=f"apiVersion: {API}/{VERSION}, kind: Service",
    )


def _projects(path: Path) -> list[str]:
    """Cloud Run's files name the project as their namespace."""
    import yaml

    try:
        found = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError, yaml.YAMLError):  # whoever reads it next says so better
        return []
    names = [
        document["metadata"].get("namespace")
        for document in found
        if isinstance(document, dict) and isinstance(document.get("metadata"), dict)
    ]
    return [str(name) for name in names if name]


def _read(document: Document, namespace: str) -> RunService:
    body = copy.deepcopy(document.body)
    body["metadata"]["namespace"] = namespace
    spec = _inside(_inside(_inside(body, "spec"), "template"), "spec")
    containers = spec.get("containers")
    if (
        not isinstance(containers, list)
        or not containers
        or not all(isinstance(it, dict) for it in containers)
    ):
        line = document.line_of("spec.template.spec") or document.line
        raise LabError(
            f"Service {document.name} has no containers.",
            where=f"{document.file}:{line}",
            fix="spec.template.spec.containers, a list",
        )
    aside = []

    def leave(field: str, what: str) -> None:
        aside.append(f"{document.file}:{document.line_of(field) or document.line}: {what}")

    selector = spec.get("nodeSelector") or {}
    if isinstance(selector, dict) and ACCELERATOR in selector:
        leave(f'spec.template.spec.nodeSelector."{ACCELERATOR}"', f"{ACCELERATOR}: no node here has one")
        spec["nodeSelector"] = {key: it for key, it in selector.items() if key != ACCELERATOR}
        if not spec["nodeSelector"]:
            del spec["nodeSelector"]
    for place, container in enumerate(containers):
        limits = _map(_map(container.get("resources")).get("limits"))
        if GPU in limits:
            leave(
                f'spec.template.spec.containers[{place}].resources.limits."{GPU}"',
                f"{GPU}: no node here has one",
            )
            del limits[GPU]
    account = spec.get("serviceAccountName")
    if isinstance(account, str) and "@" in account:
        leave("spec.template.spec.serviceAccountName", f"{account}: no IAM here, so nobody is anybody")
        del spec["serviceAccountName"]
    template = _map(_map(body.get("spec")).get("template"))
    for where, about in (
        ("metadata", body["metadata"]),
        ("spec.template.metadata", template.get("metadata")),
    ):
        for name in _map(_map(about).get("annotations")):
            if name.startswith("run.googleapis.com/") and name not in ANNOTATIONS:
                leave(
                    f'{where}.annotations."{name}"',
                    f"{name}: no annotation of Cloud Run's that is known here",
                )
    made = RunService(replace(document, body=body, namespace=namespace), tuple(aside))
    for probe in (
        "startupProbe",
        "livenessProbe",
    ):  # Cloud Run fills the port in, Knative refuses them without
        for how in ("httpGet", "tcpSocket", "grpc"):
            asked = _map(_map(made.ingress.get(probe)).get(how))
            if asked and "port" not in asked:
                asked["port"] = made.port
    return made


def limits(service: RunService) -> tuple[float, int]:
    """CPUs and bytes of memory that an instance may have: its containers' together, each with Cloud Run's default where it says nothing."""
    from kubernetes.utils.quantity import parse_quantity

    cpu, memory = 0.0, 0
    for container in service.containers:
        said = DEFAULTS | _map(_map(container.get("resources")).get("limits"))
        cpu += float(parse_quantity(said["cpu"]))
        memory += int(parse_quantity(said["memory"]))
    return cpu, memory


def _map(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else an empty one: what is wrong with it the API server says better."""
    return value if isinstance(value, dict) else {}


def _inside(body: dict[str, Any], key: str) -> dict[str, Any]:
    found = body.get(key)
    if not isinstance(found, dict):
        found = body[key] = {}
    return found


# -- in the cluster -----------------------------------------------------------------------------------------


def asked(cluster: Cluster, namespace: str, name: str, plural: str = "services") -> dict[str, Any]:
    """An object of Knative's as the API server has it."""
    from kubernetes import client

    api = client.CustomObjectsApi(cluster.api)
    found: dict[str, Any] = api.get_namespaced_custom_object(API, VERSION, namespace, plural, name)
    return found


def conditions(found: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Condition → (status, reason and message)."""
    return {
        it["type"]: (it["status"], f"{it.get('reason', '')}: {it.get('message', '')}".strip(": "))
        for it in (found.get("status") or {}).get("conditions") or ()
    }


def ready(applied: Applied, service: RunService, within: float = 90) -> str:
    """Wait until the newest revision of a service takes its requests; the revision's name.

    :param within: seconds.
    :raises LabError: when it cannot, with Knative's words and those of its pods.
    """
    cluster, namespace, name = applied.cluster, service.document.namespace, service.name
    assert namespace is not None

    def latest() -> str | None:
        """The revision of what was applied last; None: Knative has not come to it yet."""
        for plural in ("services", "configurations"):  # the one writes the other, which makes revisions
            found = asked(cluster, namespace, name, plural)
            if (found.get("status") or {}).get("observedGeneration") != found["metadata"]["generation"]:
                return None
        return str(found["status"].get("latestCreatedRevisionName") or "") or None

    def there() -> str | None:
        revision = latest()
        found = asked(cluster, namespace, name) if revision else {}
        good = conditions(found).get("Ready", ("", ""))[0] == "True"
        return revision if good and found["status"].get("latestReadyRevisionName") == revision else None

    def never() -> LabError | None:
        revision = latest()
        if revision is None:
            return None
        status, why = conditions(asked(cluster, namespace, name)).get("Ready", ("", ""))
        stuck = _stuck(pods(cluster, namespace, f"{API}/revision={revision}"))
        if status != "False" and stuck is None:
            return None
        said = "\n".join(trouble(cluster, namespace, f"{API}/revision={revision}"))
        return LabError(
            f"Service {name} does not become ready: {stuck or why}\n{said}", where=service.document.where
        )

    return wait(
        f"Service {name}",
        there,
        within,
        never=never,
        trouble=lambda: [
            *(
                f"{kind}: {why}"
                for kind, (status, why) in conditions(asked(cluster, namespace, name)).items()
                if status != "True"
            ),
            *trouble(cluster, namespace, f"{API}/service={name}"),
        ],
        where=service.document.where,
    )


#: What a container waits for that does not come: nobody here pushes an image or a secret meanwhile.
_STUCK = ("ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError")


def _stuck(found: Sequence[Any]) -> str | None:
    """Why the pods of a revision will never run, in the kubelet's words."""
    for pod in found:
        for status in pod.status.container_statuses or ():
            waiting = status.state.waiting
            if waiting is not None and waiting.reason in _STUCK:
                return f"{status.name}: {waiting.reason}: {waiting.message or ''}"
    return None


def admits(cluster: Cluster, within: float = 60) -> None:
    """Wait until Knative's webhook answers the API server: until then nothing of its kind can be applied.

    :param within: seconds.
    """
    body = {
        "apiVersion": f"{API}/{VERSION}",
        "kind": "Service",
        "metadata": {"name": "llmlab-asks", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": [{"image": "llmlab/pause:1"}]}}},
    }
    from kubernetes import client

    api = client.CustomObjectsApi(cluster.api)

    def answers() -> bool:
        try:
            api.create_namespaced_custom_object(API, VERSION, "default", "services", body, dry_run="All")
        except client.ApiException as error:
            if error.status < 500:
                raise
            return False
        return True

    wait("Knative's webhook", answers, within)


@dataclass(frozen=True, slots=True)
class RunDoor:
    """Where a service is asked: the address of Kourier's Envoy, which knows it by its host."""

    base: str  # a URL
    host: str

    def client(self, *, key: str | None = None, timeout: float = 60) -> httpx.Client:
        """A client of the service; each request on a connection of its own.

        :param key: sent as the OpenAI API's clients do.
        :param timeout: seconds.
        """
        made = named_client(self.base, self.host, timeout=timeout)
        made.headers["Connection"] = "close"
        if key is not None:
            made.headers["Authorization"] = f"Bearer {key}"
        return made


def door(cluster: Cluster, service: RunService) -> RunDoor:
    """Where requests for a service go."""
    base = cluster.address(DOOR_NAMESPACE, DOOR, 80)
    return RunDoor(base, f"{service.name}.{service.document.namespace}.{DOMAIN}")


def instances(cluster: Cluster, service: RunService, *, only_ready: bool = False) -> list[Any]:
    """The pods of a service that are not on their way out."""
    assert service.document.namespace is not None
    which = ready_pods if only_ready else pods
    return which(cluster, service.document.namespace, f"{API}/service={service.name}")


def to_zero(cluster: Cluster, service: RunService, within: float = 60) -> float | None:
    """Wait until no instance is left that could be asked; the seconds that it took, or None: one is still there."""
    from time import monotonic

    began = monotonic()
    try:
        wait("no instance", lambda: not instances(cluster, service), within)
    except LabError:
        return None
    return monotonic() - began
