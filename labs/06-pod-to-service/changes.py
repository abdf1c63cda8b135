"""What comes after: another models.ini, a hang, a slow disk, other nodes, a wrong model."""

import configparser
import time

import httpx

from llmlab.checks import Context, Verdict, check, failed, inconclusive, passed, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    applied,
    frozen,
    models_of,
    pods,
    ready_pods,
    restarts,
    simulated,
    spreads,
    trouble,
    uneven,
)

from .stack import FULL, GPU, REPLICAS, ROLLED, SLOW, WRONG, documents, live, mine, stack

KILLS_AT = 12  # seconds: where the guide's liveness, at a tenth, ends a server that still loads
FIRST = 5  # seconds in which a server that says it is ready must answer
HANGS = 45  # seconds in which one that hangs must be serving again
SECTION = "extra"  # the model that the grader adds


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
