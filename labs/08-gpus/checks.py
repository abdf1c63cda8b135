"""Lab 08: the real scheduler over pools that nobody pays for. Fake nodes are labelled, tainted and sized as data/pools.toml says."""

import copy
from dataclasses import replace
from pathlib import Path

from kubernetes import client

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    Applied,
    WorkloadRefused,
    containers,
    manifests,
    matching,
    ready_pods,
    trouble,
)
from llmlab.tiers.kubernetes.gpus.for_labs import (
    BUILT_FOR,
    GPU,
    SWAP,
    advertised,
    answers,
    apply_more,
    capability,
    catalogue,
    decided,
    ended,
    fleet,
    lands,
    node_pool,
    nodes_of,
    of,
    only,
    placed,
    pools,
    publish,
    refused_words,
    scale,
    served,
    settled,
    taint,
    words,
)

HERE = Path(__file__).parent
NODES = "nodes by KWOK, as data/pools.toml describes each cloud's; the scheduler is real"
BIG = 20  # GiB
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


@check(
    title="A claim gets a device with memory enough, or none",
    points=4,
    realism="emulated",
    stands_in=NODES + "; devices by us, as a driver publishes them",
)
def claim(ctx: Context) -> Verdict:
    """Open T4s only, then L4s as well; then ask for one more than there are."""
    at, _ = fleet(ctx)
    publish(at)
    with ctx.deploying():
        found = manifests.read(ctx.files, ["claim.yaml"], namespaces=[NAMESPACE])
        if not any(
            (document.kind, document.name) == ("ResourceClaimTemplate", "big-gpu") for document in found
        ):
            raise LabError("There is no ResourceClaimTemplate big-gpu.", where="claim.yaml")
    given = manifests.read(HERE / "given", ["dra.yaml"], namespaces=[NAMESPACE])
    [mine] = given
    apply_more(ctx, at, [*found, *given])
    small = ["eks-g4dn-1", "eks-g4dn-2"]
    try:
        # Whoever's pods they are: what does not let them in is in the learner's namespace.
        with only(at, small), ctx.deploying(WorkloadRefused):
            first = settled(at, mine, 2, within=4)
        if nodes_of(first):
            return failed(
                expected=f"no device has {BIG}Gi on the T4 nodes: Pending",
                observed=f"placed on {', '.join(sorted(nodes_of(first)))}, whose device has 16Gi",
                look="kubectl get resourceclaims -n inference -o yaml",
            )
        with only(at, [*small, "eks-g6-1", "eks-g6-2"]), ctx.deploying(WorkloadRefused):
            second = settled(at, mine, 2, within=12)
            scale(at, mine, 3)
            third = settled(at, mine, 3, within=4)
    finally:
        scale(at, mine, 0)
    good = sorted(nodes_of(second)) == ["eks-g6-1", "eks-g6-2"] and len(nodes_of(third)) == 2
    return verdict(
        good,
        expected="two claims allocated on the L4 nodes, the third pod Pending",
        observed=f"two: {words(second)}; three: {words(third)}",
        look="kubectl get resourceclaims -n inference; kubectl get resourceslices",
    )


@check(
    title="GKE would take the node pool, and the Deployment lands on it",
    points=4,
    realism="schema",
    stands_in="Config Connector's schema in a real API server",
)
def gke(ctx: Context) -> Verdict:
    """Let the API server validate it, then make a node as it describes."""
    at, _ = fleet(ctx)
    at.run_kubectl("apply", "--server-side", "-f", str(HERE / "given" / "containernodepool.yaml"))
    at.run_kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=20s",
        "crd/containernodepools.container.cnrm.cloud.google.com",
    )
    with ctx.deploying():
        documents = manifests.read(ctx.files, ["gke-node-pool.yaml"], namespaces=[NAMESPACE])
        one = next((it for it in documents if it.kind in ("ContainerNodePool", "NodePool")), None)
        if one is None:
            raise LabError("There is no ContainerNodePool.", where="gke-node-pool.yaml")
        Applied(at, documents).try_out(one)
    spec = one.body["spec"]
    config = spec.get("nodeConfig") or {}
    gpus = config.get("guestAccelerator") or []
    gpu = gpus[0] if len(gpus) == 1 else None
    expected = "a ContainerNodePool with one kind of GPU and its driver, from none to some nodes, on which the Deployment lands"
    look = "kubectl apply --dry-run=server -f gke-node-pool.yaml"
    words_ = []
    kinds = {name: key for key, it in _gpus().items() for name in it["accelerators"]}
    if gpu is None or gpu["type"] not in kinds:
        kinds_ = ", ".join(str(it.get("type")) for it in gpus) or "none"
        return failed(
            expected=expected,
            observed=f"guestAccelerator: {kinds_}; the lab knows {', '.join(kinds)}, one to a pool",
            look=look,
        )
    machine, family = config.get("machineType") or "", _gpus()[kinds[gpu["type"]]]["machines"]
    if not machine.startswith(family):
        words_.append(f"{gpu['type']} comes with {family}… only, not with {machine or 'no machineType'}")
    if not gpu.get("gpuDriverInstallationConfig"):
        words_.append("no gpuDriverInstallationConfig: a node without a driver has no GPU to offer")
    scaling = spec.get("autoscaling") or {}
    if (scaling.get("minNodeCount", 1) and scaling.get("totalMinNodeCount", 1)) or not (
        scaling.get("maxNodeCount") or scaling.get("totalMaxNodeCount")
    ):
        words_.append("it never scales to zero: the least is " + str(scaling.get("minNodeCount", "not said")))
    own = {
        "cloud.google.com/gke-nodepool": one.name,
        "cloud.google.com/gke-accelerator": gpu["type"],
        **(config.get("labels") or {}),
    }
    taints = [f"{it['key']}={it['value']}:{_effect(it['effect'])}" for it in config.get("taint") or ()]
    if not any(it.startswith(f"{GPU}=") for it in taints):
        taints.append(f"{GPU}=present:NoSchedule")  # GKE's own
    why = lands(
        ctx,
        machine=machine,
        gpu=kinds[gpu["type"]],
        count=gpu["count"],
        labels=own,
        taints=taints,
    )
    words_ += [f"the Deployment does not land: {why}"] * bool(why)
    return verdict(
        not words_,
        expected=expected,
        observed="; ".join(words_) or f"{machine} with {gpu['type']}; the pod landed",
        look=look,
    )


def _effect(text):
    return {
        "NO_SCHEDULE": "NoSchedule",
        "PREFER_NO_SCHEDULE": "PreferNoSchedule",
        "NO_EXECUTE": "NoExecute",
    }.get(text, text)


def _gpus():
    return catalogue()["gpu"]


@check(
    title="AKS would sell the node pool, and the Deployment lands on it",
    points=4,
    realism="schema",
    stands_in="the options of azure-cli 2.91.0's `az aks nodepool add`, and a dated table of machines",
)
def aks(ctx: Context) -> Verdict:
    """Read the command, look its machine up, then make a node as it describes."""
    with ctx.deploying():
        read = node_pool((ctx.files / "aks-node-pool.sh").read_text())
        taints = [word for word in (read.node_taints or "").split(",") if word]
        for word in taints:
            taint(word)
    expected = "a machine that can still be had, from none to some of it, on which the Deployment lands"
    look = "az vm list-skus --location eastus --output table"
    machine = read.node_vm_size or ""
    if ended(machine):
        return failed(expected=expected, observed=f"{machine} ended on {ended(machine)}", look=look)
    shape = next((pool for pool in pools("AKS") if pool.machine == machine), None)
    if shape is None:
        known = ", ".join(pool.machine for pool in pools("AKS"))
        return failed(
            expected=expected,
            observed=f"{machine or 'no size'} is not in data/pools.toml (it has {known})",
            look=look,
        )
    own = {"kubernetes.azure.com/agentpool": read.name, "kubernetes.azure.com/accelerator": "nvidia"}
    own |= dict(label.split("=", 1) for label in read.labels or () if "=" in label)
    bad = []
    if not read.enable_cluster_autoscaler or int(read.min_count):
        least = f"--min-count {read.min_count}" if read.enable_cluster_autoscaler else "no autoscaler"
        bad.append(f"it never scales to zero: {least}")
    why = lands(ctx, machine=machine, gpu=shape.gpu, count=shape.gpus, labels=own, taints=taints)
    bad += [f"the Deployment does not land: {why}"] * bool(why)
    return verdict(
        not bad, expected=expected, observed="; ".join(bad) or f"{machine}; the pod landed", look=look
    )


@check(
    title="With a GPU limit it really runs and answers",
    points=3,
    needs=("everywhere",),
    machine=("pods",),
    realism="emulated",
    stands_in="the real node advertises a GPU that it has not; the engine is the CPU's",
)
def runs(ctx: Context) -> Verdict:
    """Let the real node say that it has an L4, cut CPU and memory down to it, and ask for a token."""
    at, mine = served(ctx)
    core = client.CoreV1Api(at.api)
    node = next(
        candidate.metadata.name
        for candidate in core.list_node().items
        if candidate.metadata.labels.get("type") != "kwok"
    )
    body = copy.deepcopy(mine.body)
    body["spec"]["replicas"] = 1
    for container in containers(replace(mine, body=body)):
        for key in ("requests", "limits"):
            if key in (container.get("resources") or {}):
                container["resources"][key] |= {"cpu": "500m", "memory": "512Mi"}
    small = replace(mine, body=body)
    label = matching(mine)
    with advertised(core, node), only(at, []), ctx.deploying():
        Applied(at, [small], images=SWAP).apply(small)
        try:
            pod = wait("a ready pod", lambda: next(iter(ready_pods(at, NAMESPACE, label)), None), 30)
        except LabError:
            return failed(
                expected="one pod Ready on the real node",
                observed="\n".join(trouble(at, NAMESPACE, label)[:8]),
                look="kubectl describe pods -n inference",
            )
        with_gpu = (pod.spec.containers[0].resources.limits or {}).get(GPU)
        wait("an answer", lambda: answers(pod), 20)
        ctx.prove_at(f"http://{pod.status.pod_ip}:8080", model="tiny")
    return verdict(
        with_gpu is not None,
        expected=f"a pod with a limit of {GPU} runs on {node} and answers as the model tiny",
        observed=f"{pod.metadata.name} does, with {with_gpu or 'no'} GPU",
        look="kubectl get pods -n inference -o wide",
    )
