"""The plan's own day on this machine: real servers, a real door, two incidents drawn for this learner."""

from llmlab.capacity.plan import HERE
from llmlab.checks import Context, Verdict, check, fixture, inconclusive, verdict
from llmlab.tiers.fleet.for_labs import PlannedFleet, day_of, incidents, replay, seconds, speeds_now, the_day

from . import sizes

SLACK = 1.0  # seconds that a no may come later than the door was told to wait
LONGEST = 10.0  # seconds that a recovery may be promised to take
SLOWER = 1.3  # times: then the machine did something else meanwhile
LOOK = "lab.fleet().day()"


@fixture
def fleet(ctx: Context):
    """The servers and the door of the plan, up."""
    ctx.say("the servers of the plan, and its door")
    with PlannedFleet(sizes.plan(ctx)) as up:
        yield up


@fixture(ours=True)
def here(ctx: Context, slots: int, when: str):
    """How quick a server of the lab's own is, before the day and after it."""
    ctx.say(f"how fast a server is here, {when} the day")
    return speeds_now(slots)


@fixture
def played(ctx: Context):
    """The day, replayed once for all checks. Its load is counted in servers as they are on this machine now, and again afterwards."""
    mine, up = sizes.plan(ctx), fleet(ctx)
    slots = mine.tier[HERE].slots
    length, seed = seconds(), ctx.random("day").randrange(2**31)
    happening = incidents(list(up.servers), seed, length)
    with ctx.turn():
        before = here(ctx, slots, "before")
        trace = the_day(mine, before, seed, length=length)
        ctx.say(f"a day of {length:.0f} s, {len(trace)} requests, two incidents")
        run = replay(up, trace, happening, seed=seed).runs[0]
        after = here(ctx, slots, "after")
    slower = max(after.step[-1] / before.step[-1], before.prefill / after.prefill)
    return day_of(run, mine.promise, happening), happening, slower


def drawn(happening) -> str:
    return "; ".join(f"{each.server} {each.how} at {each.broke:.0f} s" for each in happening)


@check(title="The plan's servers are up behind its door", points=2, needs=("complete",))
def serves(ctx: Context) -> Verdict:
    """Start them, and ask the door something that only this model answers so."""
    up = fleet(ctx)
    ctx.prove_at(up.url, model="20m", key=up.key)
    return verdict(
        True,
        expected="tokens of the lab's model through the door",
        observed=f"{len(up.servers)} servers",
        look="lab.fleet()",
    )


@check(
    title="The promise is kept for the share of the day that it says", points=5, needs=("serves",), timed=True
)
def day(ctx: Context) -> Verdict:
    """Count the requests of the replayed day that were answered within the promise."""
    found, happening, slower = played(ctx)
    promise = sizes.plan(ctx).promise
    evidence = {
        "expected": f"{promise.share:.0%} of the requests kept: first token within {promise.ttft_s:g} s, the whole within {promise.e2e_s:g} s",
        "observed": f"{found.share:.1%} of {found.requests}: {found.late} late, {found.refused} told no, {found.failed} failed",
        "look": LOOK,
        "hidden": drawn(happening),
    }
    if found.share < promise.share and slower > SLOWER:
        return inconclusive(
            f"this machine was {slower:.1f} times as slow after the day as before it", **evidence
        )
    return verdict(found.share >= promise.share, **evidence)


@check(title="Everybody gets an answer: tokens, or a no in time", points=3, needs=("serves",))
def told(ctx: Context) -> Verdict:
    """Count who was told no later than the door was to let them wait, and who was cut off although nothing was lost."""
    found, happening, _ = played(ctx)
    wait = sizes.plan(ctx).door.max_wait_s
    cut = sum(after == float("inf") for after in found.unseen)
    return verdict(
        found.slowest_no_s <= wait + SLACK and not cut,
        expected=f"a no within {wait:g} s, and nobody cut off while every server is up",
        observed=f"{found.refused} told no, the slowest after {found.slowest_no_s:.1f} s; {cut} cut off before anything was lost",
        look=LOOK,
        hidden=drawn(happening),
    )


@check(
    title="After the loss of a server nobody fails for longer than you promise", points=4, needs=("serves",)
)
def recovered(ctx: Context) -> Verdict:
    """Two servers are lost in the day, at times that nobody tells: count the requests that fail later than promised."""
    mine = sizes.plan(ctx)
    promise, notices = mine.promise.recovery_s, mine.door.notices_s
    found, happening, _ = played(ctx)
    later = [after for after in found.unseen if after != float("inf")]
    return verdict(
        not later and notices <= promise <= LONGEST,
        expected=f"a promise of at most {LONGEST:g} s, no shorter than the door needs to notice, and no failure after it",
        observed=f"promised {promise:g} s; the door notices within {notices:g} s; {len(later)} failed later, "
        f"of {found.failed} that failed" + (f", the last after {max(later):.1f} s" if later else ""),
        look=LOOK,
        hidden=drawn(happening),
    )
