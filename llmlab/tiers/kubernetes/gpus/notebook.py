"""Where the scheduler puts the guide's Deployment and the learner's, pool by pool, and what the idle GPUs would cost."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from ....errors import LabError
from ....records.schema import Cell
from ....show.kept import keep
from ....show.shown import Drawn
from ....system.waiting import wait
from ..cluster.cluster import ask
from ..drivers.fake_nodes import FakeNodes
from ..manifests import manifests
from ..manifests.manifests import Document
from ..manifests.refusals import blamed
from .pools import catalogue, plant, pools
from .probes import on_node, short

if TYPE_CHECKING:
    from ..notebook.held import Held

NAMESPACE = "default"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
COLUMNS = {
    "set": "whose",
    "pool": "node pool",
    "gpu": "its GPU",
    "placed": "0 or 1",
    "reason": "the scheduler's",
}


def placement(cluster: Held, given: str = "given/guide.yaml", mine: str = "gpu-deployment.yaml") -> Drawn:
    """Ask the scheduler for every pool: a pod of each Deployment that may go to that pool's node only.

    A pod that the API server refuses is placed nowhere, and its words are the reason.

    :raises LabError: when a file cannot be read.
    """
    from kubernetes import client

    from . import figures

    at = cluster.cluster
    if at.driver == "context":
        raise LabError(
            "This makes nodes, and a cluster that is somebody's gets none of ours.",
            fix="LLMLAB_CLUSTER=local, kind or simulated, then restart the kernel",
        )
    core = client.CoreV1Api(at.api)
    sets = {}
    for name, folder, file in (("guide", cluster.lab.info.folder, given), ("yours", cluster.lab.files, mine)):
        found = manifests.read(folder, [file], namespaces=["inference"])
        deployment = next((it for it in found if it.kind == "Deployment"), None)
        if deployment is None:
            raise LabError(f"There is no Deployment in {file}.", where=file, fix="lab.reset()")
        sets[name] = deployment
    nodes = FakeNodes(at)
    rows: list[list[Cell]] = []
    refused: dict[str, str] = {}
    try:
        for pool in pools():
            plant(nodes, pool, pool.name)
        nodes.ready()
        for name, document in sets.items():
            for pool in pools():
                try:
                    ask(at.api, "POST", PODS, body=on_node(document.body, pool.name, f"{name}-{pool.name}"))
                except client.ApiException as error:
                    refused[f"{name}-{pool.name}"] = _told(document, error)
        for name in sets:
            for pool in pools():
                if why := refused.get(f"{name}-{pool.name}"):
                    rows.append([name, pool.name, pool.gpu, 0, why])
                    continue
                looked = functools.partial(_decided, core, f"{name}-{pool.name}")
                node, reason = wait(f"the decision on {name} and {pool.name}", looked, 20)
                rows.append([name, pool.name, pool.gpu, int(bool(node)), short(reason)])
    finally:
        core.delete_collection_namespaced_pod(
            NAMESPACE, label_selector="placement=probe", grace_period_seconds=0
        )
        nodes.remove()
        nodes.close()
    table, _ = keep(cluster.lab, "placement", COLUMNS, rows, kubernetes=at.facts()["version"])
    lines = [
        f"{row['set']:6} {row['pool']:12} {'placed' if row['placed'] else 'Pending: ' + str(row['reason'])}"
        for row in table.dicts()
    ]
    return Drawn(table, figures.placement, lines)


def _told(document: Document, error: Any) -> str:
    """Why a pod is not let in, in the API server's words, and the line that is meant."""
    try:
        said = str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        said = str(error.body or error.reason)
    where, _ = blamed(document, said)
    return f"refused: {said.split(' is forbidden: ', 1)[-1]} ({where})"


def _decided(core: object, name: str) -> tuple[str, str] | None:
    pod = core.read_namespaced_pod(name, NAMESPACE)  # type: ignore[attr-defined]
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled":
            return pod.spec.node_name or "", "" if condition.status == "True" else condition.message or ""
    return None


def cost(cluster: Held, replicas: int) -> Drawn:
    """What the nodes cost that `replicas` servers with a GPU each need, by pool."""
    from . import figures

    rows: list[list[Cell]] = []
    for pool in pools():
        nodes = -(-replicas // pool.gpus)
        rows.append([pool.name, round(nodes * pool.dollars, 2), nodes * pool.gpus, replicas])
    note = (
        f"{replicas} replicas with one GPU each. List prices, on demand, US region, written down on {catalogue()['as_of']} from memory "
        "(data/pools.toml): look them up before you decide."
    )
    columns = {
        "pool": "node pool",
        "dollars": "US dollars an hour",
        "gpus": "GPUs paid for",
        "used": "GPUs in use",
    }
    table, _ = keep(cluster.lab, "stranded", columns, rows, note=note)
    lines = [
        f"{row['pool']:12} ${row['dollars']}/h for {row['used']} of {row['gpus']} GPUs"
        for row in table.dicts()
    ]
    return Drawn(table, figures.stranded, lines)
