"""Two replicas under load, changed: rolled out, evicted, given a bad image."""

import shutil
from pathlib import Path

from llmlab.checks import Context, Verdict, check, fixture, verdict
from llmlab.errors import LabError
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    SCALERS,
    answered,
    applied,
    cluster,
    deadline_exceeded,
    drain,
    kustomized,
    long_reply,
    losses,
    matching,
    only,
    ready_pods,
    roll,
    users,
    with_image,
)

HERE = Path(__file__).parent
SERVICE, GIVEN = "llama-server", ("namespace.yaml", "service.yaml")
IMAGE, BAD = "llama-server:v1.0.0", "llama-server:v9.9.9"
LEAST, MOST = 2, 4  # replicas: for a user or two, for EIGHT
ROLLED = 90  # seconds for a roll-out, and for the last old pod to be gone
ROLLS = 3
LONGEST = 45.0  # seconds that a reply may take
NOTICED = 30  # seconds in which a bad image must be given up


def documents(ctx: Context, at):
    """The learner's objects, with the lab's own namespace and Service."""
    for name in GIVEN:
        shutil.copy(HERE / name, ctx.files / name)
    given = kustomized(ctx, at, *(HERE / name for name in GIVEN))
    return list({(document.kind, document.name): document for document in given}.values())


@fixture(ours=True)
def prepared(ctx: Context):
    """A fresh cluster; what scales is on its way, for it is wanted later."""
    at = cluster(ctx, images=(IMAGE, "models/20m:1"))
    at.add("metrics-server", "keda", say=ctx.say, wait=False)
    return at


@fixture
def stack(ctx: Context):
    """Everything but the autoscaler, with two replicas ready."""
    at = prepared(ctx)
    found = documents(ctx, at)
    with applied(ctx, at, [it for it in found if it.kind not in SCALERS]) as one:
        deployment = one.one("Deployment")
        if "replicas" not in deployment.body["spec"]:  # left to the autoscaler, which comes later
            at.run_kubectl("scale", f"deployment/{deployment.name}", "-n", NAMESPACE, f"--replicas={LEAST}")
        one.ready(ctx.ready or ROLLED)
        yield one


def whole(ctx: Context):
    """The same, with no more and no fewer than two pods: whatever the check before it has left."""
    one = stack(ctx)
    deployment = one.one("Deployment")
    with ctx.deploying():
        one.wait_for(deployment, ROLLED)
        only(one, deployment, LEAST, ROLLED)
    return one, deployment


@check(title="Two replicas are ready and answer", points=2, machine=("pods",))
def ready(ctx: Context) -> Verdict:
    """Count what is ready behind the Service, and prove that it is the model."""
    one = stack(ctx)
    found = ready_pods(one.cluster, NAMESPACE)
    with ctx.deploying():
        address = one.cluster.address(NAMESPACE, SERVICE)
    if len(found) == LEAST:
        ctx.prove_at(address, model="20m")
    return verdict(
        len(found) == LEAST,
        expected=f"{LEAST} pods ready, and the Service leads to the model 20m",
        observed=f"{len(found)} ready",
        look="kubectl get pods,endpointslices -n inference",
    )


@check(
    title="Three roll-outs under load lose no request, and a fourth no long reply",
    points=5,
    needs=("ready",),
    machine=("pods",),
)
def rollout(ctx: Context) -> Verdict:
    """Four users ask all the time; restart the Deployment three times. Then once more, with a reply under way that takes long."""
    one, deployment = whole(ctx)
    took = []
    with users(one, SERVICE, 4, NAMESPACE) as them, ctx.deploying():
        answered(them, 4)
        for _ in range(ROLLS):
            took.append(roll(one, deployment, ROLLED))
        only(one, deployment, LEAST, ROLLED)
        samples = them.stop()
    lost = sum(not it.ok for it in samples)
    how, seconds = "not tried", 0.0
    if not lost:
        with ctx.deploying():
            how, seconds = long_reply(one, deployment, SERVICE, LONGEST, namespace=NAMESPACE, within=ROLLED)
    return verdict(
        not lost and how == "whole",
        expected=f"{ROLLS} roll-outs, no request lost; then one under which a reply that takes {LONGEST:.0f} s arrives whole",
        observed=losses(samples)
        + "; roll-outs took "
        + ", ".join(f"{it:.0f} s" for it in took)
        + f"; the long reply: {how}"
        + (f" after {seconds:.0f} s" if seconds else ""),
        look="kubectl rollout restart deployment/llama-server -n inference (cluster.rollouts() draws it)",
        requests=len(samples),
        lost=lost,
    )


@fixture
def emptied(ctx: Context):
    """Every pod evicted under load, as often as it takes."""
    one, deployment = whole(ctx)
    with users(one, SERVICE, 4, NAMESPACE) as them:
        answered(them, 4)
        seen = drain(one, deployment, ROLLED)
        if not seen.left:
            only(one, deployment, LEAST, ROLLED)
        return seen, them.stop()


@check(
    title="While one pod is on its way out, the other may not be evicted",
    points=3,
    needs=("ready",),
    machine=("pods",),
)
def eviction(ctx: Context) -> Verdict:
    """Ask for the eviction of both pods, one straight after the other."""
    seen, _ = emptied(ctx)
    words = {201: "let go", 429: "refused (429)", 404: "gone already"}
    return verdict(
        429 in seen.first[1:],
        expected="the second eviction is refused with 429 until the first pod is replaced",
        observed=", then ".join(words[it] for it in seen.first),
        look="kubectl get poddisruptionbudgets -n inference",
    )


@check(
    title="A node is emptied, and nobody notices",
    points=4,
    needs=("ready",),
    machine=("pods",),
    realism="emulated",
    stands_in="evictions as `kubectl drain` asks for them; the only node is not cordoned, so the new pods come there too",
)
def emptied_node(ctx: Context) -> Verdict:
    """Evict every pod under load, again each second those that may not go yet, until all have moved."""
    seen, samples = emptied(ctx)
    lost = sum(not it.ok for it in samples)
    return verdict(
        not (lost or seen.left),
        expected=f"both pods have moved within {ROLLED} s, no request lost",
        observed=(f"after {seen.seconds:.0f} s {len(seen.left)} had not moved; " if seen.left else "")
        + losses(samples),
        look="kubectl get poddisruptionbudgets,events -n inference",
    )


@check(
    title="A bad image is noticed, costs nothing, and is taken back",
    points=4,
    needs=("ready",),
    machine=("pods",),
)
def bad_image(ctx: Context) -> Verdict:
    """Apply an image that does not exist, under load; wait for Kubernetes to give it up; `kubectl rollout undo`."""
    one, deployment = whole(ctx)
    look = "kubectl rollout status deployment/llama-server -n inference; kubectl rollout undo deployment/llama-server -n inference"
    expected = f"given up within {NOTICED} s (ProgressDeadlineExceeded), undone afterwards; old replicas stay ready, no request lost"
    noticed, undone = True, True
    with users(one, SERVICE, 2, NAMESPACE) as them:
        with ctx.deploying():
            answered(them, 2)
            one.apply(with_image(deployment, BAD))
        try:
            wait("the end of its patience", lambda: deadline_exceeded(one.cluster, deployment), NOTICED)
        except LabError:
            noticed = False
        serving = len(ready_pods(one.cluster, NAMESPACE, matching(deployment)))
        try:
            one.cluster.run_kubectl("rollout", "undo", f"deployment/{deployment.name}", "-n", NAMESPACE)
            one.wait_for(deployment, ROLLED)
        except LabError:
            undone = False
        with ctx.deploying():
            samples = them.stop()
    one.apply(deployment)
    words = [] if noticed else [f"after {NOTICED} s Kubernetes still hoped"]
    words += [] if serving else ["no replica was ready any more"]
    words += [] if undone else ["`rollout undo` did not bring the old image back"]
    words += [losses(samples)] if any(not it.ok for it in samples) else []
    return verdict(
        not words,
        expected=expected,
        observed="; ".join(words) or f"so it was, and {losses(samples)}",
        look=look,
    )
