"""Two Deployments side by side, watched: what the guide's probes do to a server that loads slowly, and what the learner's do."""

from __future__ import annotations

import copy
import threading
import time
from typing import TYPE_CHECKING, Any

from ....errors import LabError
from ....records.schema import Cell, Table
from ....show.bars import steps_bar
from ....show.kept import keep
from ..manifests import manifests
from ..manifests.applied import Applied
from ..manifests.pods import restarts
from ..manifests.trouble import ready

if TYPE_CHECKING:
    from ....figures import Picture
    from .held import Held

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
STEP = 0.25  # seconds between two looks
COLUMNS = {
    "set": "whose",
    "pod": "name",
    "from": "s",
    "to": "s",
    "state": "as kubectl would say it",
    "restarts": "so far",
}


def state(pod: Any) -> str:
    """Pending, Starting, Ready, Restarting or Terminating."""
    if pod.metadata.deletion_timestamp is not None:
        return "Terminating"
    if ready(pod):
        return "Ready"
    statuses = pod.status.container_statuses or ()
    if any(status.state.running for status in statuses):
        return "Starting"
    return "Restarting" if restarts(pod) or any(status.state.terminated for status in statuses) else "Pending"


class Timeline:
    """What each pod was, and when."""

    def __init__(self, table: Table) -> None:
        self.table = table  # what it draws

    def plot(self) -> Picture:
        """A bar for each pod."""
        from ..figures.states import states

        return states(self.table)

    def value(self, name: str) -> Cell:
        """How often a pod was started again: the `guide`'s, or `yours`. None: it was not seen."""
        from ..figures.states import states

        pods = {str(pod["set"]): int(pod["restarts"]) for pod in states(self.table).data["pods"]}
        return pods.get(name)

    def __repr__(self) -> str:
        from ..figures.states import states

        return "\n".join(
            f"{pod['set']}: "
            + (f"ready after {pod['first_ready']:.0f} s" if pod["first_ready"] is not None else "never ready")
            + f", {pod['restarts']} restarts"
            for pod in states(self.table).data["pods"]
        )


def timeline(
    cluster: Held, seconds: float, given: str = "probes/server.yaml", mine: str = "deployment.yaml"
) -> Timeline:
    """Run the given Deployment twice, as it is and with the probes of the learner's, and watch for so many seconds.

    :raises LabError: when a file cannot be read, or the API server refuses the learner's probes.
    """
    namespaces = ["inference"]
    [base] = manifests.read(cluster.lab.info.folder, [given], namespaces=namespaces)
    own = next(
        (
            document
            for document in manifests.read(cluster.lab.files, [mine], namespaces=namespaces)
            if document.kind == "Deployment"
        ),
        None,
    )
    if own is None:
        raise LabError(f"There is no Deployment in {mine}.", where=mine, fix="lab.reset()")
    container = own.body["spec"]["template"]["spec"]["containers"][0]
    probes = {name: container[name] for name in PROBES if name in container}
    documents = [_named(base, "guide", None), _named(base, "yours", probes)]
    cluster.clear()
    with Applied(cluster.cluster, documents) as applied, steps_bar("look") as say:
        applied.up()
        rows = _watch(cluster, seconds, say)
    version = cluster.cluster.facts()["version"]
    note = "Loads over a slow volume: 1.4 MB/s, by a library in the image."
    table, _ = keep(cluster.lab, "states", COLUMNS, rows, note=note, kubernetes=version)
    return Timeline(table)


def _named(base: manifests.Document, name: str, probes: dict[str, Any] | None) -> manifests.Document:
    from dataclasses import replace

    body = copy.deepcopy(base.body)
    body["metadata"]["name"] = name
    body["spec"]["selector"]["matchLabels"] = body["spec"]["template"]["metadata"]["labels"] = {"app": name}
    if probes is not None:
        container = body["spec"]["template"]["spec"]["containers"][0]
        for probe in PROBES:
            container.pop(probe, None)
        container.update(probes)
    return replace(base, name=name, body=body)


def _watch(cluster: Held, seconds: float, say: Any) -> list[list[Cell]]:
    from kubernetes import client

    core, pause = client.CoreV1Api(cluster.cluster.api), threading.Event()
    began = time.monotonic()
    rows: dict[str, list[list[Cell]]] = {}
    while (now := time.monotonic() - began) < seconds:
        for pod in core.list_namespaced_pod("inference").items:
            name, is_now, again = pod.metadata.name, state(pod), restarts(pod)
            own = rows.setdefault(name, [])
            if own:
                own[-1][3] = round(now, 2)
            if not own or own[-1][4:] != [is_now, again]:
                own.append(
                    [
                        pod.metadata.labels["app"],
                        name,
                        round(now if own else 0.0, 2),
                        round(now, 2),
                        is_now,
                        again,
                    ]
                )
        say(
            f"{now:.0f} of {seconds:.0f} s: "
            + ", ".join(f"{own[-1][0]} {own[-1][4]}" for own in rows.values())
        )
        pause.wait(STEP)
    return sorted(
        (row for own in rows.values() for row in own),
        key=lambda row: (str(row[0]), str(row[1]), float(row[2] or 0)),
    )
