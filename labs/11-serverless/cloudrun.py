"""Cloud Run's service.yaml on a real Knative: it serves, with a key, on any port, and no stream is cut."""

import contextlib
import json
import socket
from pathlib import Path

from llmlab.checks import Context, Verdict, check, inconclusive, verdict
from llmlab.errors import LabError, Unavailable
from llmlab.system.waiting import Late, wait
from llmlab.tiers.kubernetes.for_labs import NAMESPACE
from llmlab.tiers.serverless.for_labs import cloud_run

from .stack import again, ask, asking, door, key, service, stack, users

STREAMS = 1000  # one after the other, each on a connection of its own
LONGEST = 240  # seconds for all of them
WHERE = "kubectl get ksvc,revisions,pods -n inference"


@check(title="Cloud Run: the service answers with the lab's model", points=3, machine=("pods",))
def run_serves(ctx: Context) -> Verdict:
    """Apply service.yaml to Knative, wait for its revision, and ask for tokens at NAME.NAMESPACE.example.com."""
    asked = service(ctx)
    with ctx.deploying():
        reply = ask(ctx, tokens=16)
    good = reply.status_code == 200
    if good:
        with users(ctx, 1, 64):  # somebody asks, so the instance stays while it is compared
            ctx.prove_at(directly(ctx), model="20m", key=key(ctx))
    aside = "".join(f"\nnot run here, only read: {remark}" for remark in asked.aside)
    return verdict(
        good,
        expected="HTTP 200 with tokens of the model 20m, through the platform's own door",
        observed=f"HTTP {reply.status_code} {reply.text[:200]}{aside}",
        look=WHERE,
    )


def directly(ctx: Context) -> str:
    """The address of an instance behind its queue-proxy."""
    one, asked = stack(ctx), service(ctx)
    with ctx.deploying():
        (pod, *_) = wait("an instance", lambda: cloud_run.instances(one.cluster, asked, only_ready=True), 60)
        try:
            socket.create_connection((pod.status.pod_ip, asked.port), 5).close()
        except OSError:
            raise LabError(
                f"It answers its queue-proxy alone: nobody listens at {pod.status.pod_ip}:{asked.port}. Cloud Run asks for 0.0.0.0.",
                where=asked.document.where,
                fix="--host 0.0.0.0 for what has the port",
            ) from None
    return f"http://{pod.status.pod_ip}:{asked.port}"


@check(
    title="Cloud Run: the port is the platform's to choose",
    points=3,
    needs=("run-serves",),
    machine=("pods",),
)
def run_port(ctx: Context) -> Verdict:
    """The same service where $PORT is another number: a new revision, asked like the first."""
    number = ctx.random("port").randrange(9100, 9900)
    try:
        again(ctx, service(ctx).on_port(number))
        said = f"HTTP {ask(ctx).status_code}"
    except LabError as error:
        said = ctx.words(error)
    finally:
        stack(ctx).apply(service(ctx).document)
    with ctx.deploying():
        cloud_run.ready(stack(ctx), service(ctx))
    return verdict(
        said == "HTTP 200",
        expected="it listens where $PORT says, whatever that is",
        observed=said,
        look="what listens on the container port must read PORT from its environment",
        hidden=f"$PORT was {number}",
    )


@check(
    title="Cloud Run: an instance gets as many requests at once as it has slots",
    points=2,
    needs=("run-serves",),
    machine=("pods",),
)
def run_slots(ctx: Context) -> Verdict:
    """Ask the server how many slots it has, and read how many requests the platform gives it."""
    with ctx.deploying(), door(ctx).client(key=key(ctx)) as client, asking():
        reply = client.get("/props")
        try:
            slots = int(reply.json()["total_slots"])
        except (ValueError, LookupError, TypeError):
            raise LabError(
                f"/props does not say how many slots there are: HTTP {reply.status_code} {reply.text[:200]}"
            ) from None
    given = service(ctx).concurrency
    return verdict(
        slots == given,
        expected="containerConcurrency is the number of slots: more wait inside where nobody sees them, fewer leave slots empty",
        observed=f"containerConcurrency {given or 'not set (as many as come)'}, {slots} slots",
        look="containerConcurrency, and --parallel",
    )


@check(
    title="Cloud Run: the key comes from the secret, and stands nowhere else",
    points=3,
    needs=("run-serves",),
    machine=("pods",),
)
def run_secret(ctx: Context) -> Verdict:
    """Ask without the key; then look for it in the objects, on command lines and in logs."""
    from kubernetes import client

    one, asked = stack(ctx), service(ctx)
    with ctx.deploying():
        without = ask(ctx, with_key=False).status_code
        ask(ctx)
    secret, found = key(ctx), []
    if secret in json.dumps(cloud_run.asked(one.cluster, NAMESPACE, asked.name)):
        found.append("the Service")
    core = client.CoreV1Api(one.cluster.api)
    for pod in cloud_run.instances(one.cluster, asked, only_ready=True):
        if secret in json.dumps(one.cluster.api.sanitize_for_serialization(pod)):
            found.append(f"pod {pod.metadata.name}")
        if any(secret in line for line in lines(one.cluster, pod)):
            found.append("a command line")
        for container in pod.spec.containers:
            text = core.read_namespaced_pod_log(pod.metadata.name, NAMESPACE, container=container.name)
            if secret in (text or ""):
                found.append(f"the log of {container.name}")
    good = without == 401 and not found
    return verdict(
        good,
        expected="HTTP 401 without the key; the key itself in the Secret alone",
        observed=f"without the key: HTTP {without}"
        + (f"; the key stands in {', '.join(found)}" if found else ""),
        look="env: LLAMA_API_KEY, valueFrom: secretKeyRef: {name: llama-api-key, key: latest}",
    )


def lines(cluster, pod) -> list[str]:
    """The command lines of its processes, where this machine sees them."""
    try:
        found = cluster.processes(pod)
    except Unavailable:
        return []
    seen = []
    for pid in found:
        with contextlib.suppress(OSError):  # it has ended
            seen.append(Path(f"/proc/{pid}/cmdline").read_text(errors="replace"))
    return seen


@check(
    title="Cloud Run: a stream that says 200 is whole",
    points=4,
    needs=("run-serves",),
    machine=("pods",),
)
def run_streams(ctx: Context) -> Verdict:
    """A thousand streams, each on a connection of its own; a stream is whole when its last event has come, whatever the status."""
    with ctx.deploying(), users(ctx, 1, 4) as them:
        with contextlib.suppress(Late):
            wait(f"{STREAMS} streams", lambda: len(them.samples) >= STREAMS, LONGEST)
        samples = them.stop()
    cut = [sample for sample in samples if not sample.ok]
    words = "; ".join(sorted({str(sample.error)[:120] for sample in cut}))
    if not cut and len(samples) < STREAMS:
        return inconclusive(
            f"only {len(samples)} of {STREAMS} streams in {LONGEST} s",
            expected=f"{STREAMS} of {STREAMS} streams come to their last event",
            observed=f"{len(samples)} of {len(samples)}",
        )
    return verdict(
        not cut,
        expected=f"{STREAMS} of {STREAMS} streams come to their last event",
        observed=f"{len(samples) - len(cut)} of {len(samples)}" + (f": {words}" if words else ""),
        look="features.knative.dev/http-full-duplex on the template, and who closes connections to whom",
        cut=len(cut),
    )


@check(
    title="Cloud Run: a new revision takes over, and no reply is lost",
    points=3,
    needs=("run-streams",),  # what is cut now and then is no loss of the change
    machine=("pods",),
)
def run_ends(ctx: Context) -> Verdict:
    """Four people stream long replies while the service gets another revision and the old instances end."""
    one, asked = stack(ctx), service(ctx)
    with ctx.deploying():
        try:
            with users(ctx, 4, 200) as them:
                wait("four replies", lambda: len(them.samples) >= 4, 120)
                before = {pod.metadata.name for pod in cloud_run.instances(one.cluster, asked)}
                again(ctx, asked.with_annotations(initial_scale="2"))
                wait(
                    "the end of the old instances",
                    lambda: (
                        not before & {pod.metadata.name for pod in cloud_run.instances(one.cluster, asked)}
                    ),
                    90,
                )
                samples = them.stop(120)
        finally:
            one.apply(asked.document)
        cloud_run.ready(one, asked)
    lost = [sample for sample in samples if not sample.ok]
    words = "; ".join(sorted({str(sample.error)[:120] for sample in lost}))
    return verdict(
        not lost,
        expected="every stream comes to its last event, over the change",
        observed=f"{len(samples) - len(lost)} of {len(samples)}" + (f": {words}" if words else ""),
        look="what SIGTERM does to a request that is being answered",
        lost=len(lost),
    )
