"""Lab 02: a server inside a budget of one CPU and 192 MiB. The budget is the lab's, the flags are yours."""

from dataclasses import replace

from llmlab.checks import Context, DeploymentFailed, Verdict, check, failed, verdict
from llmlab.load import closed
from llmlab.machine import cpus_allowed
from llmlab.serve import Limits, Spec
from llmlab.tiers.process.for_labs import compare_speed, fastest

CPUS = 1.0
MEMORY = 192 << 20  # bytes
USERS, PROMPT = 4, 3000
PROMPTS = 20  # distinct prompts of 1,000 tokens: each leaves about 5 MiB in the prompt cache


def in_budget(spec: Spec, **flags: int) -> Spec:
    """The learner's flags under the lab's limits."""
    return replace(spec, flags={**spec.flags, **flags}, limits=Limits(cpus=CPUS, memory=MEMORY))


@check(title="It still serves four users with 3,000-token prompts", points=2)
def users(ctx: Context) -> Verdict:
    """Ask the deployed server for its slots and the context of each: a budget is no reason to serve less."""
    server = ctx.deploy(replace(ctx.spec(), limits=Limits()))
    props = server.props()
    slots, each = props["total_slots"], props["default_generation_settings"]["n_ctx"]
    ctx.stop(server)
    return verdict(
        slots >= USERS and each >= PROMPT + 64,
        expected=f"{USERS} slots of at least {PROMPT + 64:,} tokens",
        observed=f"{slots} slots of {each:,} tokens",
        look="lab.show()",
    )


@check(title="Its threads fit one CPU", points=3, needs=("users",), machine=("cpu-quota",), timed=True)
def threads(ctx: Context) -> Verdict:
    """Sweep thread counts under the quota, then measure the learner's choice alternately with the fastest."""
    spec = ctx.spec()
    # Long enough for the quota to bite: a burst shorter than a few 100 ms periods is not throttled at all.
    plan = closed(1, requests=1, warmup=0, max_tokens=256, timeout=8, seed=ctx.seed)
    best = fastest(ctx, [in_budget(spec, threads=n, **{"threads-batch": n}) for n in (1, 2)], plan=plan)
    return compare_speed(
        ctx,
        learner=ctx.deploy(in_budget(spec)),
        reference=best,
        plan=plan,
        at_least=0.8,
        far=0.4,  # as many threads as the fastest has lose as much to a neighbour as the fastest does
        fix=f"The fastest has threads = {best.spec.flags['threads']}.",
    )


@check(title="Twenty long prompts do not fill its memory", points=3, needs=("users",))
def memory(ctx: Context) -> Verdict:
    """Send distinct prompts and see whether it lives: an OOM kill where memory is held, peak memory elsewhere."""
    spec = ctx.spec()
    # No CPU quota, and every core reads prompts, so that this asks about memory alone and is soon done.
    flags = {**spec.flags, "threads": 1, "threads-batch": cpus_allowed()}
    expected = f"{PROMPTS} prompts of 1,000 tokens answered within {MEMORY >> 20} MiB"
    look = 'server = lab.serve("server.toml"); server.load(concurrency=2, requests=20, prompt_tokens=1000, max_tokens=8, warmup=0)'
    try:
        server = ctx.deploy(replace(spec, flags=flags, limits=Limits(memory=MEMORY)))
    except DeploymentFailed as error:
        return failed(expected=expected, observed=str(error).splitlines()[0], look=look)
    plan = closed(2, requests=PROMPTS, warmup=0, prompt_tokens=1000, max_tokens=8, timeout=60, seed=ctx.seed)
    run = ctx.measure(server, [plan]).runs[0]
    answered = sum(sample.ok for sample in run.samples)
    peak = run.peak_rss or 0
    killed = server.oom_kills() > 0 or not server.running
    ctx.stop(server)
    end = "; then the kernel killed it for going over the limit" if killed else ""
    observed = f"{answered} answered, peak {peak / 2**20:.0f} MiB{end}"
    good = answered == PROMPTS and not killed and peak <= MEMORY
    return verdict(good, expected=expected, observed=observed, look=look, peak=peak, answered=answered)
