"""Lab 01: what one server must keep. Each check deploys server.toml and asks what runs."""

from typing import Any

from llmlab.checks import Context, Verdict, check, failed, inconclusive, passed, verdict
from llmlab.load import closed
from llmlab.machine import CROWDED, Crowd
from llmlab.serve import Spec
from llmlab.tiers.process.for_labs import (
    compare_speed,
    judge_knee,
    listens_beyond_loopback,
    own_knee,
    queue_share,
)

USERS = 4
PROMPT = 3000  # tokens
REPLY = 64  # tokens


@check(title="server.toml describes a server that starts", points=1)
def starts(ctx: Context) -> Verdict:
    """Deploy it afresh and wait until the model is loaded."""
    server = ctx.server()
    return passed(
        expected="/health answers 200",
        observed=f"ready after {server.seconds_to_ready:.2f} s",
        look=server.command,
    )


@check(title=f"It works on {USERS} requests at once", points=1, needs=("starts",))
def slots(ctx: Context) -> Verdict:
    """Ask /props how many slots there are."""
    server = ctx.server()
    found = server.props()["total_slots"]
    return verdict(
        found >= USERS,
        expected=f"at least {USERS} slots",
        observed=f"{found} slots",
        look='lab.serve("server.toml").props()["total_slots"]',
        slots=found,
    )


@check(title=f"{USERS} users at once, {PROMPT:,}-token prompts each", points=3, needs=("slots",))
def context_per_slot(ctx: Context) -> Verdict:
    """Send the prompts for real, all at the same time, and count the replies."""
    server = ctx.server()
    length = PROMPT - ctx.random("prompt").randrange(100)
    plan = closed(USERS, requests=USERS, warmup=0, prompt_tokens=length, max_tokens=REPLY, seed=ctx.seed)
    crowd = Crowd()
    run = ctx.measure(server, [plan]).runs[0]
    crowded = crowd.share()
    bad = [sample for sample in run.samples if not sample.ok]
    each = server.props()["default_generation_settings"]["n_ctx"]
    expected = f"{USERS} of {USERS} prompts of about {PROMPT:,} tokens answered with {REPLY} tokens each"
    hidden = f"each prompt had {length:,} tokens"
    look = f'server = lab.serve("server.toml"); server.load(concurrency={USERS}, requests={USERS}, prompt_tokens={PROMPT}, warmup=0)'
    if bad:
        said = str(bad[0].error).replace(
            str(length), f"about {PROMPT}"
        )  # the server's own words name the length
        evidence = {
            "expected": expected,
            "observed": f"{USERS - len(bad)} answered; each slot has {each:,} tokens. The server: {said}",
            "look": look,
            "hidden": hidden,
            "ctx_per_slot": each,
        }
        late = all(str(sample.error).startswith("timeout") for sample in bad)
        if late and crowded is not None and crowded > CROWDED:
            return inconclusive(f"something waited for a CPU in {crowded:.0%} of the time", **evidence)
        return failed(**evidence)
    observed = f"all answered; each slot has {each:,} tokens"
    return passed(expected=expected, observed=observed, look=look, hidden=hidden, ctx_per_slot=each)


@check(title="Nobody without a key gets in from outside", points=2, needs=("starts",))
def closed_door(ctx: Context) -> Verdict:
    """See on which addresses it listens; if others can reach it, ask for tokens without a key."""
    server = ctx.server()
    outside = listens_beyond_loopback(server)
    expected = "it listens on 127.0.0.1 only, or answers 401 to a request without a key"
    look = 'lab.serve("server.toml").listening()'
    if not outside:
        return passed(expected=expected, observed=f"it listens on {server.host} only", look=look)
    status = ctx.status_without_key(server)
    return verdict(
        status == 401,
        expected=expected,
        observed=f"it listens on {', '.join(outside)}, and a request without a key was answered {status}",
        look=look,
    )


@check(title="Its own counters count every token", points=1, needs=("starts",))
def counters(ctx: Context) -> Verdict:
    """Stream some requests and compare the usage they report with the delta of /metrics."""
    server = ctx.server()
    run = ctx.measure(server, [closed(2, requests=6, max_tokens=24, seed=ctx.seed)]).runs[0]
    tokens = sum(sample.completion_tokens for sample in run.samples)
    look = 'lab.serve("server.toml").metrics()["tokens_predicted_total"]'
    if run.counters is None:
        return failed(
            expected=f"/metrics counts {tokens} tokens", observed="/metrics does not answer", look=look
        )
    return verdict(
        run.counters.agrees,
        expected=f"/metrics moves by the {tokens} tokens that were streamed",
        observed=f"it moved by {run.counters.completion_tokens}",
        look=look,
    )


@check(
    title="Goodput with four users is what this machine can give",
    points=2,
    needs=("context-per-slot",),
    timed=True,
)
def goodput(ctx: Context) -> Verdict:
    """Alternate with a reference server on the same machine; judge the ratio, never the tokens per second."""
    model = ctx.spec().model
    reference = Spec(
        model=model,
        flags={"ctx-size": USERS * 4096, "parallel": USERS, "threads": 1, "metrics": True},
    )
    return compare_speed(
        ctx,
        learner=ctx.server(),
        reference=ctx.reference(reference),
        plan=closed(USERS, requests=8, max_tokens=48, seed=ctx.seed),
        at_least=0.8,
        fix="is `threads` above the cores that are free?",
    )


@check(title="You know where its knee is", points=2, needs=("starts",), timed=True)
def knee(ctx: Context) -> Verdict:
    """Load it at the learner's answer and at one more stream; count how often requests waited for a slot."""
    answer = ctx.answers.get("knee")
    expected = "lab.answer(knee=N): with N users nobody waits for a slot, with N + 1 somebody does"
    look = 'lab.serve("server.toml").load(concurrency=[3, 4, 5, 6]).plot()  # TTFT rises where waiting begins'
    if not isinstance(answer, int) or isinstance(answer, bool) or not 1 <= answer <= 64:
        return failed(expected=expected, observed=f"your answer is {answer!r}", look="lab.answer(knee=...)")
    server = ctx.server()

    def control() -> tuple[float, float]:
        spec = Spec(
            model=server.spec.model,
            flags={"ctx-size": 1024 * USERS, "parallel": USERS, "threads": 1, "metrics": True},
        )
        with ctx.reference(spec) as other:
            return queue_share(ctx, other, USERS), queue_share(ctx, other, USERS + 1)

    found = judge_knee(
        lambda: (queue_share(ctx, server, answer), queue_share(ctx, server, answer + 1)),
        control,
        seed=ctx.seed,
        say=ctx.say,
    )
    observed = (
        f"somebody waited in {100 * found.at[1]:.0f} % of samples with {answer} users, "
        f"in {100 * found.above[1]:.0f} % with {answer + 1}"
    )
    own = own_knee(ctx.records())
    if own is not None:
        observed += f"; in your own record waiting begins after {own}"
    evidence = {"expected": expected, "observed": observed, "look": look}
    data: dict[str, Any] = {
        "at": round(found.at[1], 3),
        "above": round(found.above[1], 3),
        "rounds": found.rounds,
        "own": own,
    }
    if found.verdict == "inconclusive":
        return inconclusive("the machine is too noisy to tell", **evidence, **data)
    return verdict(found.verdict == "passed", **evidence, **data)
