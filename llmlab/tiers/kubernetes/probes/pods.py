"""What can be seen of pods from outside of them: confinement, throttling, models, a hang, where they are placed."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ....errors import LabError
from ....system.local_client import local_client
from ....system.waiting import wait
from ..cluster.cluster import Cluster
from ..manifests.applied import Applied, selector
from ..manifests.manifests import Document
from ..manifests.pods import pods
from ..manifests.refusals import Watch, WorkloadRefused, standing


def matching(document: Document) -> str:
    """The label selector of a Deployment's own pods."""
    return selector(document.body["spec"]["selector"]["matchLabels"])


def containers(document: Document) -> list[dict[str, Any]]:
    """The containers of a workload's pods; of one that no API server has seen yet.

    :raises LabError: at its line, when there are none that could be read.
    """
    found: Any = document.body
    for key in ("spec", "template", "spec", "containers"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(it, dict) for it in found):
        raise LabError(
            f"{document.kind} {document.name} has no containers.",
            where=document.where,
            fix="spec.template.spec.containers is a list of them",
        )
    return found


def refused(at: Cluster, namespace: str, pod: dict[str, Any]) -> str | None:
    """Why a pod would not be let in, in the API server's words (a dry run); None when it would."""
    from kubernetes import client

    try:
        client.CoreV1Api(at.api).create_namespaced_pod(namespace, pod, dry_run="All")
    except client.ApiException as error:
        if error.status in (403, 422):
            return str(error.body)
        raise
    return None


def forbidden(at: Cluster, document: Document, within: float = 20) -> str | None:
    """What the controller of a workload says of pods that it was not allowed to make; None when it makes them.

    :raises Late: at the workload's line, when it does neither.
    """
    namespace = document.namespace
    assert namespace is not None

    def looked() -> bool:
        return _has_pods(at, document) and not standing(at, namespace, document)

    try:
        wait(
            f"pods of {document.kind} {document.name}",
            looked,
            within,
            never=Watch(at, document),
            where=document.where,
        )
    except WorkloadRefused as error:
        return error.what
    return None


def _has_pods(at: Cluster, document: Document) -> bool:
    """Whether a workload has pods, or wants none, or (a Job that removes itself) had them."""
    from kubernetes import client

    assert document.namespace is not None
    spec = document.body.get("spec") or {}
    if spec.get("replicas") == 0 or spec.get("suspend"):
        return True
    if document.kind != "Job":
        return bool(pods(at, document.namespace, matching(document)))
    if pods(at, document.namespace, f"batch.kubernetes.io/job-name={document.name}"):
        return True
    try:
        return bool(
            client.BatchV1Api(at.api).read_namespaced_job(document.name, document.namespace).status.succeeded
        )
    except client.ApiException as error:
        if error.status == 404:
            return True
        raise


def confinement(at: Cluster, pod: Any) -> list[str]:
    """What of a pod's processes is less confined than it should be, read from the node's /proc.

    User, capabilities, seccomp, no_new_privs and the root file system: proc(5), fields Uid, CapEff, Seccomp,
    NoNewPrivs; /proc/PID/mountinfo.
    """
    loose = []
    found = at.processes(pod)
    if not found:
        return ["no process of it was found"]
    for pid in found:
        try:
            text = Path(f"/proc/{pid}/status").read_text()
            mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        except (FileNotFoundError, ProcessLookupError):  # a probe's command, gone already
            continue
        status = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        value = {key: words.split() for key, words in status.items()}
        if "0" in value["Uid"]:
            loose.append("it runs as root")
        if int(value["CapEff"][0], 16):
            loose.append(f"it has capabilities ({value['CapEff'][0]})")
        if value["Seccomp"][0] != "2":
            loose.append("no seccomp filter")
        if value["NoNewPrivs"][0] != "1":
            loose.append("it may gain privileges")
        for mount in mounts:
            if mount[4] == "/" and "ro" not in mount[5].split(","):
                loose.append("its root file system can be written")
            if mount[4] == "/models" and "ro" not in mount[5].split(","):
                loose.append("/models can be written by a reader")
            if mount[4] == "/var/run/secrets/kubernetes.io/serviceaccount" or mount[4].startswith(
                "/run/secrets/kubernetes.io"
            ):
                loose.append("it holds a token for the API server")
    return list(dict.fromkeys(loose))


@contextlib.contextmanager
def frozen(at: Cluster, pod: Any) -> Iterator[None]:
    """All processes of a pod stopped, as a server that hangs: it takes connections and answers nothing."""
    found = at.processes(pod)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def models_of(url: str) -> list[str]:
    """The names that `/v1/models` lists.

    :raises LabError: when it lists nothing readable.
    """
    import httpx

    try:
        with local_client(timeout=10) as client:
            reply = client.get(f"{url}/v1/models")
        return sorted(str(model["id"]) for model in reply.raise_for_status().json()["data"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{url}/v1/models: {error}") from None


def throttling(at: Cluster, pod: Any, *, model: str, streams: int = 2, tokens: int = 300) -> tuple[int, int]:
    """Periods of the CPU quota in which a pod was held back while it answered `streams` requests, and all of those periods.

    :raises LabError: when it does not answer.
    """
    import httpx

    url = f"http://{pod.status.pod_ip}:8080/completion"
    body = {"prompt": "once", "n_predict": tokens, "ignore_eos": True, "model": model}

    def ask(_: int) -> None:
        with local_client(timeout=120) as client:
            client.post(url, json=body).raise_for_status()

    before = at.throttled(pod)
    try:
        with ThreadPoolExecutor(streams) as pool:
            list(pool.map(ask, range(2 * streams)))
    except httpx.HTTPError as error:
        raise LabError(f"It does not answer: {error}") from None
    after = at.throttled(pod)
    return after[0] - before[0], after[1] - before[1]


def spreads(stack: Applied, document: Document, times: int = 3) -> list[Counter[str]]:
    """Pods by node after a deployment and after each of `times` further roll-outs."""
    from kubernetes import client

    assert document.namespace is not None
    found = []
    for number in range(times + 1):
        if number:
            changed = {"spec": {"template": {"metadata": {"annotations": {"llmlab": f"roll-out {number}"}}}}}
            client.AppsV1Api(stack.cluster.api).patch_namespaced_deployment(
                document.name, document.namespace, changed
            )
        stack.wait_for(document, 40)
        found.append(
            Counter(
                str(pod.spec.node_name) for pod in pods(stack.cluster, document.namespace, matching(document))
            )
        )
    return found


def uneven(at: Cluster, favourite: str = "node-1") -> None:
    """Make one node of a simulated cluster the scheduler's favourite: all others are busy, and would rather be left alone.

    A preference (preferred anti-affinity) is then outweighed by others; a rule is not.
    """
    from kubernetes import client

    core = client.CoreV1Api(at.api)
    for node in core.list_node().items:
        name = node.metadata.name
        if name == favourite:
            continue
        taint = {"key": "example.com/spot", "value": "true", "effect": "PreferNoSchedule"}
        core.patch_node(name, {"spec": {"taints": [taint]}})
        busy = {"requests": {"cpu": "14", "memory": "50Gi"}}
        spec = {"nodeName": name, "containers": [{"name": "busy", "image": "fetch:1", "resources": busy}]}
        core.create_namespaced_pod("kube-system", {"metadata": {"name": f"busy-{name}"}, "spec": spec})
