"""The Deployment on the nodes of three clouds: where it lands, where not, how it is changed."""

from kubernetes import client

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    WorkloadRefused,
    containers,
    manifests,
    matching,
    ready_pods,
)
from llmlab.tiers.kubernetes.gpus.for_labs import (
    BUILT_FOR,
    GPU,
    capability,
    decided,
    nodes_of,
    of,
    only,
    placed,
    pools,
    refused_words,
    scale,
    served,
    words,
)

NODES = "nodes by KWOK, as data/pools.toml describes each cloud's; the scheduler is real"
ROLLED = 15  # seconds; two fake pods take two


@check(
    title="On each of three clouds both replicas land on its GPU nodes",
    points=5,
    realism="emulated",
    stands_in=NODES,
)
def everywhere(ctx: Context) -> Verdict:
    """Open one cloud's pools at a time; the CPU node is open all the time."""
    at, mine = served(ctx)
    expected = "two pods, each with a GPU of its own, on the GPU nodes of EKS, then of GKE, then of AKS"
    look = "cluster.placement(), or kubectl describe pod -n inference"
    if not any(((it.get("resources") or {}).get("limits") or {}).get(GPU) for it in containers(mine)):
        return failed(
            expected=expected,
            observed=f"no container has a limit of {GPU}: it gets no GPU wherever it lands",
            look=look,
        )
    try:
        found = {cloud: placed(at, mine, of(cloud)) for cloud in ("EKS", "GKE", "AKS")}
    except WorkloadRefused as error:
        return failed(
            expected=expected, observed=refused_words(error), look="kubectl describe replicaset -n inference"
        )
    bad = [
        cloud
        for cloud, it in found.items()
        if not set(nodes_of(it)) <= set(of(cloud)) or len(nodes_of(it)) < 2
    ]
    return verdict(
        not bad,
        expected=expected,
        observed="; ".join(f"{cloud}: {words(it)}" for cloud, it in found.items()),
        look=look,
    )


@check(
    title="A roll-out completes although no GPU is spare",
    points=4,
    needs=("everywhere",),
    realism="emulated",
    stands_in=NODES,
)
def rollout(ctx: Context) -> Verdict:
    """Two replicas on exactly two GPUs; then change the pod template."""
    at, mine = served(ctx)
    apps = client.AppsV1Api(at.api)
    with only(at, ["eks-g6-1", "eks-g6-2"]):
        scale(at, mine, 2)
        try:
            wait("both", lambda: len(ready_pods(at, NAMESPACE, matching(mine))) == 2, 20)
            apps.patch_namespaced_deployment(
                mine.name,
                NAMESPACE,
                {"spec": {"template": {"metadata": {"annotations": {"llmlab": "next"}}}}},
            )

            def done():
                found = ready_pods(at, NAMESPACE, matching(mine))
                new = [it for it in found if (it.metadata.annotations or {}).get("llmlab") == "next"]
                status = apps.read_namespaced_deployment(mine.name, NAMESPACE).status
                return len(new) == 2 == len(found) == (status.replicas or 0)

            try:
                wait("the roll-out", done, ROLLED)
                said = None
            except LabError:
                said = words(decided(at, mine, 2))
        finally:
            scale(at, mine, 0)
    return verdict(
        not said,
        expected="with two GPUs and two replicas, the new pods replace the old",
        observed=f"after {ROLLED} s it is not done: {said}" if said else "they did",
        look="kubectl rollout status deployment/llama-server-gpu -n inference",
    )


@check(
    title="A GPU that the image was not built for is refused",
    points=4,
    needs=("everywhere",),
    realism="emulated",
    stands_in=NODES,
)
def architectures(ctx: Context) -> Verdict:
    """Open the T4 pools of all three clouds, and nothing else."""
    at, mine = served(ctx)
    old = [name for cloud in ("EKS", "GKE", "AKS") for name in of(cloud, older=True)]
    found = placed(at, mine, old)
    return verdict(
        not nodes_of(found),
        expected=f"the image has code for {BUILT_FOR} and newer: on T4s (75) the pods stay Pending",
        observed=words(found),
        look="kubectl get nodes -L nvidia.com/gpu.product,nvidia.com/gpu.compute.major",
    )


@check(title="A pod's memory fits the nodes it may land on, and is its own", points=2, realism="schema")
def memory(ctx: Context) -> Verdict:
    """Compare what it asks for and what it may take with what the smallest of the nodes has for pods."""
    with ctx.deploying():
        found = manifests.read(ctx.files, ["gpu-deployment.yaml"], namespaces=[NAMESPACE])
        mine = next((document for document in found if document.kind == "Deployment"), None)
        if mine is None:
            raise LabError("There is no Deployment in it.", where="gpu-deployment.yaml")
        container = containers(mine)[0]
    from kubernetes.utils.quantity import parse_quantity

    room = min(
        (parse_quantity(pool.memory), pool.memory, pool.machine)
        for pool in pools()
        if capability(pool.gpu) >= BUILT_FOR
    )
    has = container.get("resources") or {}
    if not isinstance(has, dict) or not all(
        isinstance(has.get(key) or {}, dict) for key in ("requests", "limits")
    ):
        return failed(
            expected="requests and limits, each with a memory",
            observed=f"resources: {has}",
            look="kubectl explain pod.spec.containers.resources",
        )
    try:
        asked, most = (
            parse_quantity((has.get(key) or {}).get("memory") or 0) for key in ("requests", "limits")
        )
    except ValueError as error:
        return failed(
            expected="a quantity such as 16Gi",
            observed=str(error),
            look="kubectl explain pod.spec.containers.resources",
        )
    good = 0 < most <= room[0] and asked == most
    return verdict(
        good,
        expected=f"a memory limit of at most {room[1]} (the smallest, {room[2]}), and a request that is the same",
        observed=f"request {(has.get('requests') or {}).get('memory', 'none')}, limit {(has.get('limits') or {}).get('memory', 'none')}",
        look="kubectl describe node (Allocatable)",
    )
