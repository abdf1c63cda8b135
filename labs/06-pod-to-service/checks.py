"""Lab 06: three replicas behind a Service, on a cluster of the grader's own. The files are applied as `kubectl apply -k` would."""

import configparser
import shutil
import time
from pathlib import Path

import httpx

from llmlab.checks import Context, Verdict, check, failed, fixture, inconclusive, passed, verdict
from llmlab.errors import LabError
from llmlab.models import known
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    WORKLOADS,
    Watch,
    WorkloadRefused,
    applied,
    cluster,
    confinement,
    endpoints,
    forbidden,
    frozen,
    kustomized,
    matching,
    models_of,
    pods,
    ready_pods,
    refused,
    restarts,
    simulated,
    spreads,
    throttling,
    trouble,
    uneven,
)

HERE = Path(__file__).parent
DEPLOYMENT, SERVICE, GPU = "llama-server", "llama-server", "llama-server-gpu"
SLOW, WRONG = "llama-server:v1.0.0-slow-disk", "models/20m:1-wrong"
IMAGES = ("llama-server:v1.0.0", SLOW, "models/20m:1", "models/tiny:1", WRONG, "fetch:1")
REPLICAS = 3
BOUND, FULL, ROLLED = 12, 40, 90  # seconds for a claim, for its models, for everything to be rolled out
KILLS_AT = 12  # seconds: where the guide's liveness, at a tenth, ends a server that still loads
FIRST = 5  # seconds in which a server that says it is ready must answer
HANGS = 45  # seconds in which one that hangs must be serving again
HELD = 0.5  # of the periods of the CPU quota
SECTION = "extra"  # the model that the grader adds


def documents(ctx: Context, at):
    """The learner's objects, with the lab's own gpu.yaml in place of whatever theirs says of it."""
    for name in ("configmap.yaml", "gpu.yaml"):
        shutil.copy(HERE / name, ctx.files / name)
    *mine, given = kustomized(ctx, at, HERE / "gpu.yaml")
    return [document for document in mine if (document.kind, document.name) != (given.kind, given.name)] + [
        given
    ]


@fixture
def stack(ctx: Context):
    """Everything applied to a fresh cluster."""
    at = cluster(ctx, "storage", images=IMAGES)
    with applied(ctx, at, documents(ctx, at)) as one:
        yield one


@fixture
def live(ctx: Context):
    """The same, rolled out."""
    one = stack(ctx)
    one.ready(ctx.ready or ROLLED)
    return one


def mine(one):
    """The learner's Deployment, and the selector of its pods."""
    found = next((it for it in one.documents if it.kind == "Deployment" and it.name == DEPLOYMENT), None)
    if found is None:
        raise LabError(f"There is no Deployment {DEPLOYMENT}.", where="kustomization.yaml")
    return found, matching(found)


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


def sections(text: str) -> list[str]:
    """The models of a preset."""
    parser = configparser.ConfigParser(
        strict=False, interpolation=None, default_section="*", allow_no_value=True
    )
    try:
        parser.read_string("[*]\n" + text if not text.lstrip().startswith("[") else text)
    except configparser.Error as error:
        raise LabError(f"models.ini cannot be read: {error}", where="models.ini") from None
    return sorted(parser.sections())


@check(title="/v1/models lists what models.ini says", points=2, needs=("ready",), machine=("pods",))
def models(ctx: Context) -> Verdict:
    """Ask every replica for its models."""
    one = live(ctx)
    with ctx.deploying():
        wanted = sections((ctx.files / "models.ini").read_text())
        got = [
            models_of(f"http://{pod.status.pod_ip}:8080")
            for pod in ready_pods(one.cluster, NAMESPACE, mine(one)[1])
        ]
    good = all(it == wanted for it in got) and {"chat", "small"} <= set(wanted)
    return verdict(
        good,
        expected=f"chat, small; models.ini has: {', '.join(wanted) or 'none'}",
        observed="; ".join(sorted({", ".join(it) for it in got})),
        look="curl -s http://ADDRESS/v1/models",
    )


@check(title="A changed models.ini rolls out", points=3, needs=("models",), machine=("pods",))
def rollout(ctx: Context) -> Verdict:
    """Add a model to models.ini, apply again, and ask every replica."""
    one = live(ctx)
    file = ctx.files / "models.ini"
    before = file.read_text()
    file.write_text(f"{before.rstrip()}\n\n[{SECTION}]\nmodel = /models/tiny.gguf\n")
    wanted = sections(file.read_text())

    def said(pod):
        try:
            return ", ".join(models_of(f"http://{pod.status.pod_ip}:8080"))
        except LabError as error:  # it is on its way out
            return error.what

    def listed():
        found = ready_pods(one.cluster, NAMESPACE, label)
        return len(found) == REPLICAS and all(said(pod) == ", ".join(wanted) for pod in found)

    try:
        _, label = mine(one)
        with ctx.deploying():
            changed = {
                (it.kind, it.name): it
                for it in documents(ctx, one.cluster)
                if it.kind in ("ConfigMap", "Deployment") and it.name != GPU
            }
            one.apply(*changed.values())
        try:
            wait("every replica to list it", listed, ROLLED)
        except LabError:
            got = {said(pod) for pod in ready_pods(one.cluster, NAMESPACE, label)}
            return failed(
                expected=f"after `kubectl apply -k .` every replica lists {', '.join(wanted)}",
                observed=f"after {ROLLED} s: " + ("; ".join(sorted(got)) or "no replica is ready"),
                look="kubectl rollout history deployment/llama-server -n inference",
            )
    finally:
        file.write_text(before)
    return passed(
        expected=f"every replica lists {', '.join(wanted)}",
        observed="so they do",
        look="kubectl rollout history deployment/llama-server -n inference",
    )


@check(title="One that hangs is started again", points=2, needs=("ready",), machine=("pods",))
def wedged(ctx: Context) -> Verdict:
    """Stop every process of one pod (SIGSTOP), and wait."""
    one = live(ctx)
    pod = ready_pods(one.cluster, NAMESPACE, mine(one)[1])[0]
    name, before, began = pod.metadata.name, restarts(pod), time.monotonic()

    def again():
        found = next(
            (it for it in ready_pods(one.cluster, NAMESPACE, mine(one)[1]) if it.metadata.name == name), None
        )
        return found is not None and restarts(found) > before

    expected = f"restarted and ready again within {HANGS} s"
    look = "kubectl describe pod -n inference (Events: Liveness probe failed)"
    with frozen(one.cluster, pod):
        try:
            wait("the restart", again, HANGS)
        except LabError:
            return failed(expected=expected, observed=f"after {HANGS} s it was not", look=look)
    return passed(expected=expected, observed=f"after {time.monotonic() - began:.0f} s", look=look)


@check(
    title="A model that loads slowly gets the time, and no request before it is there",
    points=4,
    needs=("ready",),
    machine=("pods",),
    realism="emulated",
    stands_in="a library in the image makes reading the model slow (1.4 MB/s)",
)
def slow(ctx: Context) -> Verdict:
    """Roll out over a slow model volume; the first new pod must come up in its first life, and answer when it says so."""
    one = live(ctx)
    deployment, label = mine(one)
    old = {pod.metadata.name for pod in pods(one.cluster, NAMESPACE, label)}
    expected = f"a new pod is ready, later than the guide's liveness allows ({KILLS_AT} s), without a restart, and answers within {FIRST} s"
    look = "kubectl get pods -n inference --watch; kubectl describe pod -n inference"

    def fresh():
        for pod in pods(one.cluster, NAMESPACE, label):
            if pod.metadata.name in old:
                continue
            if restarts(pod):
                return pod, False
            if any(it.type == "Ready" and it.status == "True" for it in pod.status.conditions or ()):
                return pod, True
        return None

    one.images["llama-server:v1.0.0"] = SLOW
    try:
        with ctx.deploying():
            one.apply(deployment)
        try:
            pod, is_ready = wait("a new pod", fresh, ROLLED)
        except LabError:
            return failed(
                expected=expected,
                observed=f"after {ROLLED} s none was ready. "
                + "\n".join(trouble(one.cluster, NAMESPACE, label)[:6]),
                look=look,
            )
        if not is_ready:
            return failed(
                expected=expected, observed="it was killed while it loaded, as it will be again", look=look
            )
        state = pod.status.container_statuses[0].state.running
        at = next(it.last_transition_time for it in pod.status.conditions if it.type == "Ready")
        took, began = (at - state.started_at).total_seconds(), time.monotonic()
        try:
            reply = httpx.post(
                f"http://{pod.status.pod_ip}:8080/completion",
                json={"prompt": "x", "n_predict": 1, "model": "chat"},
                timeout=60,
                trust_env=False,
            )
            waited = time.monotonic() - began if reply.is_success else float("inf")
        except httpx.HTTPError:
            waited = float("inf")
    finally:
        del one.images["llama-server:v1.0.0"]
        one.apply(deployment)
    good = waited <= FIRST
    answered = f"its first answer came {waited:.1f} s later" if waited < 60 else "it did not answer"
    if good and took < KILLS_AT:
        return inconclusive(
            f"it loaded in {took:.0f} s: too fast to say", expected=expected, observed=answered, look=look
        )
    return verdict(good, expected=expected, observed=f"ready after {took:.0f} s, {answered}", look=look)


@check(
    title="Three nodes that are not alike, three replicas: one each, also after a roll-out",
    points=2,
    realism="emulated",
    stands_in="nodes by KWOK, a volume without a disk; the scheduler is real",
)
def spread(ctx: Context) -> Verdict:
    """On three simulated nodes, two of them busy and marked PreferNoSchedule: deploy, roll out three times, count by node."""
    at = simulated(ctx)
    uneven(at)
    found = [document for document in documents(ctx, at) if document.name != GPU and document.kind != "Job"]
    with ctx.deploying(), applied(ctx, at, found) as one:
        for claim in (it for it in found if it.kind == "PersistentVolumeClaim"):
            network_volume(at, claim)
        counts = spreads(one, mine(one)[0])
    good = all(sorted(it.values()) == [1] * REPLICAS for it in counts)
    return verdict(
        good,
        expected="one replica on each of three nodes, at first and after each of three roll-outs",
        observed="; ".join(
            "+".join(str(it) for it in sorted(count.values(), reverse=True)) for count in counts
        ),
        look="kubectl get pods -n inference -o wide",
    )


def network_volume(at, claim) -> None:
    """A volume that every node can mount, for a claim: of whatever class it asks for."""
    from kubernetes import client

    spec = claim.body["spec"]
    client.CoreV1Api(at.api).create_persistent_volume(
        {
            "metadata": {"name": f"{claim.name}-volume"},
            "spec": {
                "accessModes": spec["accessModes"],
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "storageClassName": spec.get("storageClassName", ""),
                "claimRef": {"name": claim.name, "namespace": NAMESPACE},
                "nfs": {"server": "nowhere.example", "path": "/models"},
            },
        }
    )


@check(title="A wrong model is not served", points=2, needs=("ready",), machine=("pods",))
def verified(ctx: Context) -> Verdict:
    """Start again from nothing with a model of which one byte is another: nobody may become ready on it."""
    one = stack(ctx)
    one.down()
    expected = "one byte is wrong: the loader says so, and no server of yours becomes ready"
    look = "kubectl logs -n inference job/load-models --all-containers"
    found = [it for it in documents(ctx, one.cluster) if it.name != GPU]
    jobs = [it for it in found if it.kind == "Job"]
    with applied(ctx, one.cluster, found, images={"models/20m:1": WRONG}) as wrong:
        label = mine(wrong)[1]

        def outcome():
            if ready_pods(wrong.cluster, NAMESPACE, label):
                return "served"
            found = [wrong.job(it) for it in jobs]
            return "refused" if any(it is not None and it.failed for it in found) else None

        try:
            said = wait("the loader's verdict", outcome, FULL)
        except LabError:
            said = "refused" if not jobs else "waiting"
        served = bool(ready_pods(wrong.cluster, NAMESPACE, label))
    if served or said == "served":
        return failed(expected=expected, observed="a server became ready on the wrong model", look=look)
    return passed(
        expected=expected,
        observed="the loader failed, nobody served" if said == "refused" else "nobody served",
        look=look,
    )
