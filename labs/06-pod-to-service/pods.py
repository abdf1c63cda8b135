"""Pods that are let in, have their models, are ready behind the Service, confined, and keep to their CPUs."""

from llmlab.checks import Context, Verdict, check, failed, passed, verdict
from llmlab.errors import LabError
from llmlab.models import known
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    WORKLOADS,
    Watch,
    WorkloadRefused,
    confinement,
    endpoints,
    forbidden,
    matching,
    ready_pods,
    refused,
    restarts,
    throttling,
    trouble,
)

from .stack import BOUND, DEPLOYMENT, FULL, GPU, REPLICAS, SERVICE, live, mine, stack

HELD = 0.5  # of the periods of the CPU quota


@check(title="The namespace admits confined pods only, and yours are", points=2)
def admitted(ctx: Context) -> Verdict:
    """Apply everything, and try to slip an ordinary pod in (a dry run)."""
    one = stack(ctx)
    plain = {"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "plain", "image": "fetch:1"}]}}
    why = refused(one.cluster, NAMESPACE, plain)
    bad = [
        f"{it.where}: {said}"
        for it in one.documents
        if it.kind in WORKLOADS and (said := forbidden(one.cluster, it))
    ]
    return verdict(
        bool(why) and not bad,
        expected="an ordinary pod is refused in the namespace (Pod Security: restricted), and none of yours is",
        observed="; ".join(bad)
        or ("an ordinary pod is refused, yours are let in" if why else "an ordinary pod is let in"),
        look="kubectl get namespace inference --show-labels; kubectl describe replicaset -n inference",
    )


def writes(one, claim) -> bool:
    """Whether a workload's pods could fill a claim's volume."""
    spec = ((one.body.get("spec") or {}).get("template") or {}).get("spec") or {}
    return one.kind in WORKLOADS and any(
        it.get("claimName") == claim and not it.get("readOnly")
        for it in (volume.get("persistentVolumeClaim") or {} for volume in spec.get("volumes") or ())
    )


@check(title="Somebody fills the volume, with the right models", points=3, machine=("pods",))
def filled(ctx: Context) -> Verdict:
    """Wait for the claim, then compare what lies on the volume with the catalogue."""
    one = stack(ctx)
    claim = next((it.name for it in one.documents if it.kind == "PersistentVolumeClaim"), None)
    expected = "20m.gguf and tiny.gguf on the claim's volume, byte for byte the catalogue's"
    if claim is None:
        return failed(expected=expected, observed="there is no claim", look="kubectl get pvc -n inference")

    def folder():
        try:
            return one.cluster.volume(claim, NAMESPACE)
        except LabError:
            return None

    def wrong():
        there = {name: next(iter(volume.rglob(f"{name}.gguf")), None) for name in ("20m", "tiny")}
        return [f"no {name}.gguf" for name, path in there.items() if path is None] + [
            f"another {name}.gguf"
            for name, path in there.items()
            if path and known.sha256_of(path) != known.get(name).sha256
        ]

    nobody = Watch(one.cluster, *(it for it in one.documents if writes(it, claim)), every=True)
    look = "kubectl describe pvc -n inference; kubectl get pods -n inference; kubectl logs -n inference job/load-models --all-containers"
    try:
        volume = wait("the claim's volume", folder, BOUND, never=nobody)
    except WorkloadRefused as error:
        return failed(expected=expected, observed=f"the claim {claim} gets no volume: {error}", look=look)
    except LabError:
        said = one.cluster.run_kubectl(
            "get",
            "events",
            "-n",
            NAMESPACE,
            "--field-selector",
            f"involvedObject.name={claim}",
            "-o",
            "jsonpath={.items[*].message}",
        )
        return failed(expected=expected, observed=f"the claim {claim} gets no volume: {said}", look=look)
    try:
        wait("the models", lambda: not wrong(), FULL, never=nobody)
    except WorkloadRefused as error:
        return failed(expected=expected, observed=f"{', '.join(wrong())}: {error}", look=look)
    except LabError:
        said = "\n".join(trouble(one.cluster, NAMESPACE)[:8])
        return failed(expected=expected, observed=f"{', '.join(wrong())} after {FULL} s\n{said}", look=look)
    return passed(expected=expected, observed="both are there", look=look)


@check(title="Three replicas are ready and answer", points=3, needs=("filled",), machine=("pods",))
def ready(ctx: Context) -> Verdict:
    """Count what is ready without a restart, and prove that it is the model."""
    one = live(ctx)
    found = ready_pods(one.cluster, NAMESPACE, mine(one)[1])
    again = sum(map(restarts, found))
    if len(found) == REPLICAS and not again:
        ctx.prove_at(f"http://{found[0].status.pod_ip}:8080", model="20m", name="chat")
    return verdict(
        len(found) == REPLICAS and not again,
        expected=f"{REPLICAS} pods ready, none restarted; the model 20m answers under the name chat",
        observed=f"{len(found)} ready, {again} restarts",
        look="kubectl get pods -n inference",
    )


@check(
    title="The Service leads to every ready pod of both sets", points=2, needs=("ready",), machine=("pods",)
)
def both_sets(ctx: Context) -> Verdict:
    """Compare the Service's ready endpoints with the server pods that are ready."""
    one = live(ctx)
    sets = [matching(it) for it in one.documents if it.kind == "Deployment"]
    wanted = {pod.metadata.name for it in sets for pod in ready_pods(one.cluster, NAMESPACE, it)}
    got = {name for name, ok in endpoints(one.cluster, NAMESPACE, SERVICE).items() if ok}
    words = [f"without traffic: {', '.join(sorted(wanted - got))}"] * bool(wanted - got)
    words += [f"no server: {', '.join(sorted(got - wanted))}"] * bool(got - wanted)
    return verdict(
        not words,
        expected=f"the {len(wanted)} ready pods of {DEPLOYMENT} and {GPU}, and no other",
        observed="; ".join(words) or f"{len(got)} endpoints, all of them",
        look="kubectl get endpointslices,pods -n inference --show-labels",
    )


@check(title="In fact they are confined", points=3, needs=("ready",), machine=("pods",))
def confined(ctx: Context) -> Verdict:
    """Read user, capabilities, seccomp and mounts of the servers' processes from the node."""
    one = live(ctx)
    found = {
        pod.metadata.name: confinement(one.cluster, pod)
        for pod in ready_pods(one.cluster, NAMESPACE, mine(one)[1])
    }
    loose = list(dict.fromkeys(word for words in found.values() for word in words))
    return verdict(
        not loose,
        expected="not root, no capability, a seccomp filter, no new privileges, nothing to write, no token",
        observed="; ".join(loose) or f"so it is in all {len(found)} pods",
        look="kubectl get pods -n inference -o jsonpath='{.items[*].spec.securityContext}{.items[*].spec.containers[*].securityContext}'",
    )


@check(title="As many threads as the CPU limit has CPUs", points=2, needs=("ready",), machine=("pods",))
def threads(ctx: Context) -> Verdict:
    """Let one pod answer two users, and count the periods in which the kernel held it back."""
    one = live(ctx)
    pod = ready_pods(one.cluster, NAMESPACE, mine(one)[1])[0]
    with ctx.deploying():
        held, periods = throttling(one.cluster, pod, model="chat")
    expected = f"a CPU limit, and at most {HELD:.0%} of its periods throttled under load"
    if not periods:
        return failed(
            expected=expected,
            observed="there is no CPU limit: one replica can starve the others",
            look="kubectl get deployment llama-server -n inference -o yaml",
        )
    return verdict(
        held / periods <= HELD,
        expected=expected,
        observed=f"{held} of {periods} periods throttled",
        look="limits.cpu and --threads (or threads in models.ini): lab 02's figure",
        periods=periods,
    )
