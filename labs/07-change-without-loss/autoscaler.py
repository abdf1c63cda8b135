"""The autoscaler: one user, then eight, then one again."""

from dataclasses import dataclass

from llmlab.checks import Context, Verdict, check, fixture, verdict
from llmlab.records.schema import Sample
from llmlab.tiers.kubernetes.for_labs import (
    NAMESPACE,
    SCALERS,
    Watched,
    answered,
    losses,
    only,
    replicas,
    trouble,
    users,
    watch,
)

from .changes import LEAST, MOST, ROLLED, SERVICE, documents, prepared, stack, whole

QUIET = 20  # seconds with one user
LATE = 25  # seconds by which figures of CPU lag behind
EIGHT, HELD = 8, 35  # users, seconds
UP, DOWN = 20, 45  # seconds after the users came, and after they left


@fixture(ours=True)
def scaling(ctx: Context):
    """The same cluster, and what scales is ready."""
    at = prepared(ctx)
    at.add("metrics-server", "keda")
    return at


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
