"""Why pods are not what they should be, in the cluster's own words: states, the scheduler's reasons, events, last log lines."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from .refusals import standing

if TYPE_CHECKING:
    from ..cluster.api_client import HasApi

LOG_LINES, EVENTS = 6, 6


def trouble(cluster: HasApi, namespace: str, selector: str | None = None) -> list[str]:
    """What a person would look up: for each pod that is not ready its state, events and last log lines.

    :param selector: a label selector; None: all pods of the namespace.
    :return: lines, at most about 40; one that says so when there is no pod at all.
    """
    from kubernetes import client

    core = client.CoreV1Api(cluster.api)
    pods = core.list_namespaced_pod(namespace, label_selector=selector or "").items
    events = core.list_namespaced_event(namespace).items
    lines: list[str] = []
    if not pods:
        lines.append(f"no pod in {namespace}" + (f" has the labels {selector}" if selector else ""))
        lines += _events(events, None)
    unwell = [pod for pod in pods if not ready(pod) and pod.status.phase != "Succeeded"]
    for pod in unwell[:3]:
        lines.append(f"pod {pod.metadata.name}: {state(pod)}")
        lines += [f"  {line}" for line in _events(events, pod.metadata.name)]
        for status in pod.status.container_statuses or ():
            lines += [f"  {line}" for line in last_words(cluster, pod, status)]
    if len(unwell) > 3:
        lines.append(f"and {len(unwell) - 3} more like them")
    if pods:  # those that there are do not speak for those that may not be
        lines += [str(refusal) for refusal in standing(cluster, namespace)]
    return lines + _lonely(core, namespace)


def _lonely(core: Any, namespace: str) -> list[str]:
    """The Services that lead to nobody, because no pod has the labels that they select."""
    lines = []
    labels = [pod.metadata.labels or {} for pod in core.list_namespaced_pod(namespace).items]
    for service in core.list_namespaced_service(namespace).items:
        wanted = service.spec.selector or {}
        if wanted and not any(wanted.items() <= has.items() for has in labels):
            text = ",".join(f"{key}={value}" for key, value in wanted.items())
            lines.append(f"Service {service.metadata.name} leads to no pod: none has the labels {text}")
    return lines


def ready(pod: Any) -> bool:
    """Whether a pod's condition Ready is true, and it is not on its way out."""
    conditions = pod.status.conditions or ()
    return pod.metadata.deletion_timestamp is None and any(
        condition.type == "Ready" and condition.status == "True" for condition in conditions
    )


def state(pod: Any) -> str:
    """A pod's state in one line, as `kubectl get pods` would, with the reason."""
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return f"Pending ({condition.reason}): {condition.message}"
    if pod.status.phase == "Succeeded":
        return "Succeeded"
    words = []
    for status in [*(pod.status.init_container_statuses or ()), *(pod.status.container_statuses or ())]:
        if status.state.waiting:
            words.append(
                f"{status.name} {status.state.waiting.reason}"
                + (f": {status.state.waiting.message}" if status.state.waiting.message else "")
            )
        elif status.state.terminated and (
            status.state.terminated.exit_code or status in (pod.status.container_statuses or ())
        ):
            words.append(
                f"{status.name} ended, {status.state.terminated.reason} (exit code {status.state.terminated.exit_code})"
            )
        elif status.state.running and not status.ready:
            words.append(f"{status.name} runs, not ready")
        if status.restart_count:
            last = status.last_state.terminated if status.last_state else None
            why = f", last ended with {last.reason} (exit code {last.exit_code})" if last else ""
            words.append(f"{status.restart_count} restarts{why}")
    return f"{pod.status.phase}" + (f": {'; '.join(words)}" if words else "")


def last_words(cluster: HasApi, pod: Any, status: Any) -> list[str]:
    """The last log lines of a container, or of the one before it when it was restarted."""
    from kubernetes import client

    core = client.CoreV1Api(cluster.api)
    for previous in (False, True):
        try:
            text = core.read_namespaced_pod_log(
                pod.metadata.name,
                pod.metadata.namespace,
                container=status.name,
                previous=previous,
                tail_lines=LOG_LINES,
            )
        except client.ApiException:  # it never ran
            continue
        if (
            text and text.strip() and not text.startswith("unable to retrieve container logs")
        ):  # removed just now
            return [f"log: {line[:300]}" for line in text.strip().splitlines()[-LOG_LINES:]]
    return []


def _events(events: list[Any], name: str | None) -> list[str]:
    """Warnings about one object (None: about anything), the same ones counted."""
    counts: Counter[str] = Counter()
    for event in events:
        about_it = event.involved_object.name == name if name else event.involved_object.kind != "Node"
        if event.type == "Warning" and about_it:
            about = "" if name else f"{event.involved_object.kind.lower()} {event.involved_object.name}: "
            # the pods of a ReplicaSet fail alike, each under a name of its own
            said = re.sub(
                rf"\b({re.escape(event.involved_object.name)})-[a-z0-9]{{5}}\b", r"\1-…", event.message or ""
            ).removeprefix("(combined from similar events): ")
            counts[f"{about}{event.reason}: {said.strip()[:400]}"] += event.count or 1
    return [
        f"{text}" + (f" (×{count})" if count > 1 else "") for text, count in list(counts.items())[-EVENTS:]
    ]
