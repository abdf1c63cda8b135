"""Lab 07: two replicas under load, changed in every way there is; then the autoscaler, under a trace. All on a cluster of the grader's."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from llmlab.checks import Context, Verdict, check, fixture, verdict
from llmlab.errors import LabError
from llmlab.records.schema import Sample
from llmlab.system.waiting import wait
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    SCALERS,
    Watched,
    answered,
    applied,
    cluster,
    deadline_exceeded,
    drain,
    kustomized,
    losses,
    matching,
    only,
    ready_pods,
    replicas,
    roll,
    trouble,
    users,
    watch,
    with_image,
)

HERE = Path(__file__).parent
SERVICE, GIVEN = "llama-server", ("namespace.yaml", "service.yaml")
IMAGE, BAD = "llama-server:v1.0.0", "llama-server:v9.9.9"
LEAST, MOST = 2, 4  # replicas: for a user or two, for EIGHT
ROLLED = 90  # seconds for a roll-out, and for the last old pod to be gone
ROLLS = 3
NOTICED = 30  # seconds in which a bad image must be given up
QUIET = 20  # seconds with one user
LATE = 25  # seconds by which figures of CPU lag behind
EIGHT, HELD = 8, 35  # users, seconds
UP, DOWN = 20, 45  # seconds after the users came, and after they left


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


@fixture(ours=True)
def scaling(ctx: Context):
    """The same cluster, and what scales is ready."""
    at = prepared(ctx)
    at.add("metrics-server", "keda")
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


@check(title="Three roll-outs under load lose no request", points=5, needs=("ready",), machine=("pods",))
def rollout(ctx: Context) -> Verdict:
    """Four users ask all the time, some for long replies; restart the Deployment three times."""
    one, deployment = whole(ctx)
    took = []
    with users(one, SERVICE, 4, NAMESPACE) as them, ctx.deploying():
        answered(them, 4)
        for _ in range(ROLLS):
            took.append(roll(one, deployment, ROLLED))
        only(one, deployment, LEAST, ROLLED)
        samples = them.stop()
    lost = sum(not it.ok for it in samples)
    return verdict(
        not lost,
        expected=f"{ROLLS} roll-outs, no request lost",
        observed=losses(samples) + "; roll-outs took " + ", ".join(f"{it:.0f} s" for it in took),
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


@fixture
def scaler(ctx: Context):
    """The autoscaler applied beside two replicas, and one user watched."""
    one, deployment = whole(ctx)
    at = scaling(ctx)
    mine = [it for it in documents(ctx, at) if it.kind in SCALERS]
    slow = any("cpu" in str(it.body) or it.kind == "HorizontalPodAutoscaler" for it in mine)
    with users(one, SERVICE, 1, NAMESPACE) as them:
        answered(them, 1)
        if slow:  # or it would see what went on before
            watch(at, deployment, them, LATE)
        one.apply(*mine)
        within = LATE + QUIET if slow else QUIET
        seen = watch(at, deployment, them, within, until=lambda it: it.wanted > LEAST)
        them.stop()
    return seen, mine


@check(title="One user is no reason to scale", points=2, needs=("ready",), machine=("pods",))
def steady(ctx: Context) -> Verdict:
    """Apply the autoscaler, let one user ask all the time, and watch."""
    seen, mine = scaler(ctx)
    kinds = ", ".join(f"{it.kind} ({it.where})" for it in mine) or "no autoscaler at all"
    good = all(it.wanted == LEAST for it in seen.looks)
    return verdict(
        good,
        expected=f"{LEAST} replicas, all the time",
        observed=f"{seen.words()}; {kinds}",
        look="kubectl get hpa -n inference --watch (cluster.scaling() draws it)",
    )


@dataclass
class Trace:
    """Eight users for a while, then one: what the Deployment did, and what they felt."""

    burst: Watched
    tail: Watched
    before: int  # replicas wanted before `kubectl apply` at the end of the burst, and after it
    after: int
    left: float  # when the users left, seconds
    samples: list[Sample]
    trouble: list[str]


@fixture
def trace(ctx: Context) -> Trace:
    """Run it."""
    one = stack(ctx)
    deployment = one.one("Deployment")
    with users(one, SERVICE, EIGHT, NAMESPACE) as them:
        burst = watch(one.cluster, deployment, them, HELD)
        said = trouble(one.cluster, NAMESPACE)[:6] if burst.reached(MOST) is None else []
        before = replicas(one.cluster, deployment).wanted
        one.apply(deployment)
        after = replicas(one.cluster, deployment).wanted
        left = them.now
        them.set(1)
        tail = watch(one.cluster, deployment, them, DOWN, until=lambda it: it.wanted == it.ready == LEAST)
        only(one, deployment, tail.looks[-1].wanted, ROLLED)  # those on their way out still answer
        return Trace(burst, tail, before, after, left, them.stop(), said)


@check(
    title="Eight users get four replicas, soon",
    points=3,
    needs=("steady",),
    machine=("pods",),
    timed=True,
)
def scale_up(ctx: Context) -> Verdict:
    """Let eight users come at once, and wait for four replicas to be ready."""
    one = trace(ctx)
    at = one.burst.reached(MOST)
    return verdict(
        at is not None and at <= UP,
        expected=f"{MOST} ready within {UP} s: with two slots each, nobody waits",
        observed="\n".join(
            [one.burst.words() + (f", {MOST} ready after {at:.0f} s" if at else ""), *one.trouble]
        ),
        look="kubectl describe hpa -n inference",
    )


@check(title="Under a steady load it does not flap", points=2, needs=("scale-up",), machine=("pods",))
def no_flapping(ctx: Context) -> Verdict:
    """Eight users stay for half a minute: replicas that come must stay too."""
    one = trace(ctx)
    back = [it for it in one.burst.turns() if it[2] < it[1]]
    return verdict(
        not back,
        expected=f"while {EIGHT} users are there, no replica is taken away",
        observed=one.burst.words(),
        look="kubectl describe hpa -n inference",
    )


@check(
    title="They leave, and it scales down without loss",
    points=3,
    needs=("scale-up", "rollout"),
    machine=("pods",),
)
def scale_down(ctx: Context) -> Verdict:
    """Seven of them leave, one goes on."""
    one = trace(ctx)
    last = one.tail.looks[-1]
    lost = sum(not it.ok for it in one.samples)
    back = last.wanted == LEAST
    return verdict(
        back and not lost,
        expected=f"{LEAST} replicas again within {DOWN} s, no request lost",
        observed=(
            f"{LEAST} again after {last.at - one.left:.0f} s" if back else f"{last.wanted} after {DOWN} s"
        )
        + f"; {losses(one.samples)}",
        look="kubectl describe hpa -n inference",
    )


@check(title="`kubectl apply` does not undo the autoscaler", points=2, needs=("scale-up",), machine=("pods",))
def apply_again(ctx: Context) -> Verdict:
    """At the height of the load, apply deployment.yaml again as it is."""
    one = trace(ctx)
    return verdict(
        one.after >= one.before,
        expected=f"{one.before} replicas before, and after",
        observed=f"{one.after} after",
        look="kubectl apply -f deployment.yaml && kubectl get deployment llama-server -n inference",
    )
