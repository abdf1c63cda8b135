"""Node pools of clouds as fake nodes: labelled, tainted and sized as `data/pools.toml` says of them, with its date and prices."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ....errors import LabError
from ....system.paths import course_dir

if TYPE_CHECKING:
    from ..cluster.cluster import Cluster
    from ..drivers.fake_nodes import FakeNodes

#: The resource that a pod asks for to have a GPU.
GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Pool:
    """One node pool. `memory` as Kubernetes writes it; `dollars` an hour for a node."""

    name: str
    cloud: str
    machine: str
    gpu: str
    gpus: int
    cpus: int
    memory: str
    dollars: float
    labels: Mapping[str, str]
    taints: tuple[str, ...]


def catalogue() -> dict[str, Any]:
    """The file, as it is."""
    found: dict[str, Any] = tomllib.loads((course_dir() / "data" / "pools.toml").read_text(encoding="utf-8"))
    return found


def pools(*clouds: str) -> list[Pool]:
    """The pools of these clouds (default: all), in the file's order."""
    made = [Pool(**{**entry, "taints": tuple(entry["taints"])}) for entry in catalogue()["pool"]]
    return [pool for pool in made if not clouds or pool.cloud in clouds]


def retired() -> dict[str, str]:
    """Machine → the day on which it ended."""
    return {entry["machine"]: entry["ended"] for entry in catalogue()["retired"]}


def discovered(gpu: str, count: int) -> dict[str, str]:
    """The labels that NVIDIA's GPU feature discovery puts on a node.

    Source: its README in NVIDIA/k8s-device-plugin, docs/gpu-feature-discovery.
    """
    about = catalogue()["gpu"][gpu]
    major, minor = about["capability"].split(".")
    return {
        f"{GPU}.present": "true",
        f"{GPU}.product": about["product"],
        f"{GPU}.memory": str(about["memory"]),
        f"{GPU}.count": str(count),
        f"{GPU}.compute.major": major,
        f"{GPU}.compute.minor": minor,
    }


def taint(text: str) -> dict[str, str]:
    """`key=value:Effect`, as kubectl writes it.

    :raises LabError: when it is none.
    """
    left, separator, effect = text.rpartition(":")
    key, _, value = left.partition("=")
    if not separator or not key or effect not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
        raise LabError(f"{text!r} is no taint.", fix="key=value:NoSchedule")
    return {"key": key, "value": value, "effect": effect}


def plant(
    nodes: FakeNodes,
    pool: Pool,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] | None = None,
) -> None:
    """Add a node of a pool; `labels` and `taints` say otherwise than the pool does."""
    nodes.add(
        name,
        labels={
            **discovered(pool.gpu, pool.gpus),
            "node.kubernetes.io/instance-type": pool.machine,
            **(pool.labels if labels is None else labels),
        },
        taints=[taint(word) for word in (pool.taints if taints is None else taints)],
        capacity={"cpu": str(pool.cpus), "memory": pool.memory, GPU: str(pool.gpus)},
    )


@contextlib.contextmanager
def only(cluster: Cluster, names: Sequence[str]) -> Iterator[None]:
    """For the time of the block these fake nodes take pods, and no other GPU node does."""
    from kubernetes import client

    core = client.CoreV1Api(cluster.api)

    def cordon(name: str, closed: bool) -> None:
        core.patch_node(name, {"spec": {"unschedulable": closed}})

    fake = [
        node.metadata.name
        for node in core.list_node(label_selector="type=kwok").items
        if GPU in (node.status.capacity or {})
    ]
    for name in fake:
        cordon(name, name not in names)
    try:
        yield
    finally:
        for name in fake:
            cordon(name, True)
