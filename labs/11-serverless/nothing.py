"""From nothing and back to nothing: a start, a burst, a promise, and a model that loads slowly."""

import statistics
import tomllib

from llmlab.checks import Context, Verdict, check, fixture, verdict
from llmlab.errors import LabError
from llmlab.tiers.serverless.for_labs import cloud_run

from .stack import IDLE, IMAGE, SLOW, again, once, prepared, service, stack, zero

BURST = 12  # requests at the same moment, from nothing
FAR = 10  # times what was seen: a promise that anything keeps says nothing


@fixture
def starts(ctx: Context):
    """Seconds from a request to its first token where no instance was there, and the streams that asked, for each try."""
    found = []
    for count in (1, BURST, 1):
        zero(ctx)
        samples = once(ctx, count)
        found.append(samples)
    return found


@check(
    title="Cloud Run: nobody asks, nothing runs; somebody asks, it is there",
    points=3,
    needs=("run-serves",),
    machine=("pods",),
)
def run_zero(ctx: Context) -> Verdict:
    """Ask nothing until the last instance has gone; then one request."""
    with ctx.deploying():
        first, *_ = starts(ctx)
    (sample,) = first
    return verdict(
        sample.ok,
        expected=f"no instance within {IDLE} s of the last request, and an answer to the next",
        observed=f"it went to zero; then {'an answer' if sample.ok else sample.error}",
        look="autoscaling.knative.dev/minScale",
    )


@check(
    title="Cloud Run: twelve at once, from nothing, and none is lost",
    points=4,
    needs=("run-zero",),
    machine=("pods",),
)
def run_burst(ctx: Context) -> Verdict:
    """Twelve streams are asked for at the same moment while no instance is there."""
    with ctx.deploying():
        _, burst, _ = starts(ctx)
    lost = [sample for sample in burst if not sample.ok]
    words = "; ".join(sorted({str(sample.error)[:120] for sample in lost}))
    return verdict(
        not lost,
        expected=f"{BURST} of {BURST} streams come to their last event: none arrives before the model is loaded, none waits too long",
        observed=f"{BURST - len(lost)} of {BURST}" + (f": {words}" if words else ""),
        look="readinessProbe on /health, timeoutSeconds, containerConcurrency, maxScale",
        lost=len(lost),
    )


@check(
    title="Cloud Run: from nothing to the first token within what was promised",
    points=3,
    needs=("run-zero",),
    machine=("pods",),
    timed=True,
)
def run_promise(ctx: Context) -> Verdict:
    """The first token of each request that found no instance, beside promise.toml."""
    promised = promise(ctx)
    with ctx.deploying():
        first, _, last = starts(ctx)
    seen = [
        sample.first - sample.sent for sample in (*first, *last) if sample.ok and sample.first is not None
    ]
    slowest = max(seen, default=float("inf"))
    good = len(seen) == 2 and slowest <= promised <= FAR * statistics.median(seen)
    return verdict(
        good,
        expected=f"the first token within the promise, and a promise not longer than {FAR} times what it takes",
        observed=f"promised {promised:g} s; took {', '.join(f'{second:.1f} s' for second in seen) or 'forever'}",
        look="first_token_from_zero in promise.toml",
    )


def promise(ctx: Context) -> float:
    """What promise.toml says, in seconds."""
    path = ctx.files / "promise.toml"
    with ctx.deploying():
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8")).get("first_token_from_zero")
        except OSError:
            raise LabError("promise.toml is missing.", where="promise.toml", fix="llmlab reset") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise LabError(f"promise.toml is no TOML: {error}", where="promise.toml") from None
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise LabError(
                "promise.toml states no number of seconds.",
                where="promise.toml",
                fix="first_token_from_zero = 8",
            )
    return float(found)


@check(
    title="Cloud Run: a model that loads slowly is waited for",
    points=3,
    needs=("run-zero",),
    machine=("pods",),
)
def run_slow(ctx: Context) -> Verdict:
    """The same image with its model on a slow disk: a revision of it becomes ready, and from nothing a request is answered."""
    one, asked = stack(ctx), service(ctx)
    prepared(ctx).load(SLOW, say=ctx.say)
    one.images[IMAGE] = SLOW
    try:
        again(ctx, asked.with_annotations(initial_scale="1"))
        restarted = restarts(one.cluster, asked)
        zero(ctx)
        (sample,) = once(ctx, 1)
        said = "an answer" if sample.ok else str(sample.error)
        good = sample.ok and not (restarted or restarts(one.cluster, asked))
    except LabError as error:
        said, good = ctx.words(error), False
    finally:
        del one.images[IMAGE]
        one.apply(asked.document)
    with ctx.deploying():
        cloud_run.ready(one, asked)
    return verdict(
        good,
        expected="it is not killed while it loads, and a request waits until it can answer",
        observed=said
        if good or "answer" not in said
        else f"{said}, but a container was restarted while it loaded",
        look="startupProbe: failureThreshold times periodSeconds, and timeoutSeconds",
    )


def restarts(cluster, asked) -> int:
    """How often containers of its instances were started again."""
    return sum(
        status.restart_count
        for pod in cloud_run.instances(cluster, asked)
        for status in pod.status.container_statuses or ()
    )
