"""What gives a pod its node or its device: a claim, a node pool of GKE's, one of AKS's."""

from pathlib import Path

from llmlab.checks import Context, Verdict, check, failed, verdict
from llmlab.errors import LabError
from llmlab.tiers.kubernetes.for_labs import NAMESPACE, Applied, WorkloadRefused, manifests
from llmlab.tiers.kubernetes.gpus.for_labs import (
    GPU,
    apply_more,
    catalogue,
    ended,
    fleet,
    lands,
    node_pool,
    nodes_of,
    only,
    pools,
    publish,
    scale,
    settled,
    taint,
    words,
)

from .placement import NODES

HERE = Path(__file__).parent
BIG = 20  # GiB


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
        # Pods of any owner: what does not let them in is in the learner's namespace.
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
