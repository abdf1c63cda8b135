"""The pools of all clouds as fake nodes, the learner's Deployment among them, and whether it lands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kubernetes import client

from ....checks.check import Context
from ....checks.fixture import fixture
from ....errors import LabError, Unavailable
from ....system.local_client import local_client
from ....system.waiting import wait
from ..cluster.cluster import Cluster
from ..drivers.fake_nodes import FakeNodes
from ..manifests import manifests
from ..manifests.applied import Applied
from ..manifests.manifests import Document
from ..manifests.refusals import WorkloadRefused
from ..probes.run import NAMESPACE, cluster
from .pools import GPU, discovered, only, plant, pools, taint
from .probes import nodes_of, scale, settled, words

IMAGES = ("llama-server:v1.0.0", "models/tiny:1")
SWAP = {"llama-server:v1.0.0-cuda": "llama-server:v1.0.0"}
BUILT_FOR = 80  # the image's oldest compute capability: no machine code for the T4
DRIVER = "gpu.nvidia.com"
NOT_HERE = "k3s and the GPU operator bring a RuntimeClass along and need that line; EKS, GKE and AKS have none: not on these three clouds"


@fixture(ours=True)
def fleet(ctx: Context) -> Iterator[tuple[Cluster, FakeNodes]]:
    """A cluster with two nodes of every pool, all closed; and the nodes."""
    at = cluster(ctx, images=IMAGES)
    if at.driver == "context":
        raise Unavailable(
            "This lab makes nodes, and a cluster that is somebody's gets none of ours.",
            fix="LLMLAB_CLUSTER=local, kind or simulated",
        )
    nodes = FakeNodes(at)
    try:
        for pool in pools():
            for number in (1, 2):
                plant(nodes, pool, f"{pool.name}-{number}")
        nodes.ready()
        with only(at, []):
            pass
        yield at, nodes
    finally:  # a cluster that ends with the run takes all of it along; in one that stays, what was made is unmade
        if at.attached:
            with contextlib.suppress(LabError):
                at.run_kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", within=90)
                at.run_kubectl("delete", "deviceclass", DRIVER, "--ignore-not-found")
                at.run_kubectl("delete", "resourceslices", "--field-selector", f"spec.driver={DRIVER}")
            nodes.remove()
        nodes.close()


@fixture
def served(ctx: Context) -> tuple[Cluster, Document]:
    """The cluster, and the learner's Deployment in it with no replica; the checks scale it."""
    at, _ = fleet(ctx)
    found = manifests.read(ctx.files, ["gpu-deployment.yaml"], namespaces=[NAMESPACE])
    mine = next((document for document in found if document.kind == "Deployment"), None)
    if mine is None:
        raise LabError("There is no Deployment in it.", where="gpu-deployment.yaml")
    Applied(at, found, images=SWAP).up()
    scale(at, mine, 0)
    return at, mine


def placed(
    at: Cluster, mine: Document, names: Sequence[str], count: int = 2
) -> dict[str, tuple[str | None, str]]:
    """What becomes of `count` replicas when only these nodes take pods."""
    with only(at, names):
        scale(at, mine, count)
        try:
            return settled(at, mine, count)
        finally:
            scale(at, mine, 0)


def refused_words(error: WorkloadRefused) -> str:
    """What the API server says of pods that it does not let in, and where that would be right."""
    return str(error) + (f"\n  {NOT_HERE}" if "RuntimeClass" in error.what else "")


def of(cloud: str, *, older: bool = False) -> list[str]:
    """The nodes of a cloud whose GPUs the image was built for (or was not)."""
    return [
        f"{pool.name}-{number}"
        for pool in pools(cloud)
        for number in (1, 2)
        if (capability(pool.gpu) < BUILT_FOR) is older
    ]


def capability(gpu: str) -> int:
    """A GPU's compute capability, as two digits."""
    found = discovered(gpu, 1)
    return 10 * int(found[f"{GPU}.compute.major"]) + int(found[f"{GPU}.compute.minor"])


def publish(at: Cluster) -> None:
    """The devices of the EKS pools as a driver would publish them: a class, and a slice for each node."""
    api = client.ResourceV1Api(at.api)
    api.create_device_class(
        {
            "metadata": {"name": DRIVER},
            "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{DRIVER}"'}}]},
        }
    )
    for node, gpu, gib in (
        ("eks-g6-1", "L4", 24),
        ("eks-g6-2", "L4", 24),
        ("eks-g4dn-1", "T4", 16),
        ("eks-g4dn-2", "T4", 16),
    ):
        about = discovered(gpu, 1)
        version = f"{about[f'{GPU}.compute.major']}.{about[f'{GPU}.compute.minor']}.0"
        device = {
            "name": "gpu-0",
            "attributes": {
                "productName": {"string": about[f"{GPU}.product"]},
                "cudaComputeCapability": {"version": version},
            },
            "capacity": {"memory": {"value": f"{gib}Gi"}},
        }
        pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
        api.create_resource_slice(
            {
                "metadata": {"name": f"{node}-gpus"},
                "spec": {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": [device]},
            }
        )


def apply_more(ctx: Context, at: Cluster, documents: Sequence[Document]) -> None:
    """Apply beside what is there already."""
    applied = Applied(at, documents, images=SWAP)
    try:
        client.CoreV1Api(at.api).read_namespace(NAMESPACE)
    except client.ApiException:
        with ctx.deploying():
            applied.up()
        return
    with ctx.deploying():
        applied.apply(*documents)


def lands(
    ctx: Context, *, machine: str, gpu: str, count: int, labels: Mapping[str, str], taints: Sequence[str]
) -> str | None:
    """Whether the learner's Deployment lands on a node made from a pool's definition: None, or why not."""
    at, mine = served(ctx)
    _, nodes = fleet(ctx)
    shape = next((pool for pool in pools() if pool.machine == machine), None) or next(
        pool for pool in pools() if pool.gpu == gpu
    )
    # A name of its own: controllers that still know another node of that name would give this one its taints.
    name = f"{shape.cloud.lower()}-yours-1"
    plant(nodes, replace(shape, gpu=gpu, gpus=count, machine=machine), name, labels=labels, taints=taints)
    nodes.ready()
    core = client.CoreV1Api(at.api)
    wanted = {taint(word)["key"] for word in taints}
    wait(
        f"the taints of {name}",
        lambda: (
            wanted <= {node_taint.key for node_taint in core.read_node(name).spec.taints or ()} and [True]
        ),
        10,
    )
    try:
        found = placed(at, mine, [name], 1)
    except WorkloadRefused as error:
        return refused_words(error)
    finally:
        nodes.remove(name)
    return None if nodes_of(found) == [name] else words(found)


@contextlib.contextmanager
def advertised(core: client.CoreV1Api, node: str) -> Iterator[None]:
    """For the time of the block a node says that it has an L4."""

    def says(labels: Mapping[str, str | None], count: str | None) -> None:
        core.patch_node(node, {"metadata": {"labels": labels}})
        core.patch_node_status(node, {"status": {"capacity": {GPU: count}, "allocatable": {GPU: count}}})

    labels = discovered("L4", 1)
    says(labels, "1")
    try:
        yield
    finally:
        says(dict.fromkeys(labels), None)


def answers(pod: Any) -> bool:
    """Whether a pod's server says that it is ready."""
    import httpx

    try:
        with local_client(timeout=2) as client:
            return client.get(f"http://{pod.status.pod_ip}:8080/health").is_success
    except httpx.HTTPError:
        return False
