"""From nothing and back to nothing: a start, a burst, a promise, and a model that loads slowly."""

import contextlib
import statistics
import tomllib

from llmlab.checks import Context, Verdict, check, fixture, inconclusive, verdict
from llmlab.errors import LabError
from llmlab.records.store import read_table
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
    needs=("run-streams",),
    machine=("pods",),
    timed=True,  # the starts of all three checks are measured here
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
    before = measured(ctx)
    usual = max([statistics.median(seen), *before]) if seen else 0.0
    good = len(seen) == 2 and slowest <= promised <= FAR * usual
    if len(seen) == 2 and before and max(before) <= promised < slowest and slowest > 2 * max(before):
        return inconclusive(
            f"this machine takes {slowest:.1f} s, the one of the records {max(before):.1f} s",
            expected="the first token within the promise",
            observed=f"promised {promised:g} s",
        )
    return verdict(
        good,
        expected=f"the first token within the promise, and a promise not longer than {FAR} times what it takes",
        observed=f"promised {promised:g} s; took {', '.join(f'{second:.1f} s' for second in seen) or 'forever'}",
        look="first_token_from_zero in promise.toml",
    )


def measured(ctx: Context) -> list[float]:
    """Seconds that cold starts took where the learner worked, by the newest record of them."""
    for path in sorted((ctx.files / "records").glob("*-cold_starts.json"), reverse=True):
        with contextlib.suppress(LabError):
            totals: dict[object, float] = {}
            for row in read_table(path).dicts():
                if str(row.get("platform", "")).startswith("Cloud Run"):
                    totals[row["try"]] = totals.get(row["try"], 0.0) + float(str(row["seconds"]))
            return list(totals.values())
    return []


def promise(ctx: Context) -> float:
    """What promise.toml says, in seconds."""
    path = ctx.files / "promise.toml"
    with ctx.deploying():
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8")).get("first_token_from_zero")
            seconds = float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
        except OSError:
            raise LabError("promise.toml is missing.", where="promise.toml", fix="llmlab reset") from None
        except (ValueError, RecursionError, OverflowError) as error:
            raise LabError(f"promise.toml is no TOML: {error}", where="promise.toml") from None
        if seconds is None:
            raise LabError(
                "promise.toml states no number of seconds.",
                where="promise.toml",
                fix="first_token_from_zero = 8",
            )
    return seconds


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
        revision = again(ctx, asked.with_annotations(initial_scale="1"))
        killed = restarts(one.cluster, asked, revision)
        zero(ctx)
        (sample,) = once(ctx, 1)
        said = "an answer" if sample.ok else str(sample.error)
        killed += restarts(one.cluster, asked, revision)
        good = sample.ok and not killed
        if killed:
            said += ", but a container was restarted while it loaded"
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
        observed=said,
        look="startupProbe: failureThreshold times periodSeconds, and timeoutSeconds",
    )


def restarts(cluster, asked, revision: str) -> int:
    """How often containers of a revision's instances were started again."""
    return sum(
        status.restart_count
        for pod in cloud_run.instances(cluster, asked)
        if pod.metadata.labels.get(f"{cloud_run.API}/revision") == revision
        for status in pod.status.container_statuses or ()
    )
