"""What the plan says, and what its tiers come to by simulation with the learner's own speeds."""

from llmlab.capacity import claims as answers
from llmlab.capacity import plan as plans
from llmlab.capacity import sizing
from llmlab.capacity.plan import HERE, ServicePlan
from llmlab.checks import Context, Verdict, check, failed, fixture, verdict
from llmlab.errors import LabError
from llmlab.tiers.fleet.for_labs import far, leaving_home, speeds_for

BUSINESS, ENTERPRISE = 4.0, 16.0  # servers that are busy all the time: a growing business, an enterprise
TTFT_S, E2E_S, SHARE = 3.0, 15.0, 0.9  # the least that users were told
SEED = 0  # of the day that a notebook plans for
CENT = 0.0101  # dollars: one cent, whichever way it was rounded
OVER = 1.25  # times the cheapest plan
STAND_IN = "a simulator, calibrated from your own records"


@fixture
def plan(ctx: Context) -> ServicePlan:
    """plan.toml as it was handed in."""
    return plans.read(ctx.files / plans.NAME)


@fixture
def speeds(ctx: Context):
    """The learner's own speeds; where no calibration was handed in, this machine's, measured now."""
    return speeds_for(plan(ctx), ctx.files, say=ctx.say)


@fixture
def sized(ctx: Context):
    """Each tier's day, as planned: that of `lab.plan()` in a notebook.

    Days of other seeds differ: on the worked plan's, the share kept in the busiest hour with a region less is anything from 82 to 100 %.
    Nobody can plan for a day that is drawn afterwards; so it is this one, and what it costs is exact.
    """
    return {
        label: sizing.size(plan(ctx), label, speeds(ctx), far=far(), seed=SEED) for label in plan(ctx).tier
    }


@check(title="The plan is complete: a promise, a door, three tiers with a load each", points=3)
def complete(ctx: Context) -> Verdict:
    """Read it; tiers for this machine, a growing business and an enterprise in several regions; five claims."""
    mine, five = plan(ctx), answers.read(ctx.files / answers.NAME)
    promise = mine.promise
    expected = (
        f"first token within at most {TTFT_S:g} s and the whole within {E2E_S:g} s for at least {SHARE:.0%}; tiers: {HERE}, one with a load of "
        f"{BUSINESS:g} or more, one of {ENTERPRISE:g} or more in at least two regions; five claims"
    )
    lacking = []
    if promise.ttft_s > TTFT_S or promise.e2e_s > E2E_S or promise.share < SHARE:
        lacking.append(f"promised: {promise.ttft_s:g} s, {promise.e2e_s:g} s, {promise.share:.0%}")
    if not any(tier.load >= BUSINESS for label, tier in mine.tier.items() if label != HERE):
        lacking.append(f"no tier with a load of {BUSINESS:g}")
    if not any(tier.load >= ENTERPRISE and len(tier.regions) > 1 for tier in mine.tier.values()):
        lacking.append(f"no tier with a load of {ENTERPRISE:g} in several regions")
    if len(five) < 5 or len({claim.topic for claim in five}) < 5:
        lacking.append(f"{len(five)} claims of {len({claim.topic for claim in five})} topics")
    return verdict(
        not lacking,
        expected=expected,
        observed="; ".join(lacking) or f"tiers {', '.join(mine.tier)}; {len(five)} claims",
        look="lab.plan()",
    )


@check(
    title="Each tier keeps its promise, also with one server or region less",
    points=4,
    needs=("complete",),
    realism="emulated",
    stands_in=STAND_IN,
)
def sized_for_it(ctx: Context) -> Verdict:
    """Simulate each tier's whole day, and its busiest hour with one less."""
    promise, found = plan(ctx).promise, sized(ctx)
    short = [sized_tier for sized_tier in found.values() if not sized_tier.holds(promise)]
    words = [
        f"{sized_tier.tier}: {sized_tier.share:.1%} of the day, {sized_tier.one_less:.1%} with one less"
        for sized_tier in short or found.values()
    ]
    return verdict(
        not short,
        expected=f"at least {promise.share:.0%} of all requests kept, over the day and in its busiest hour with one less",
        observed="; ".join(words),
        look="lab.plan().sizes()",
        **{sized_tier.tier: sized_tier.share for sized_tier in found.values()},
    )


@check(
    title="Users who may not leave their region are served there or told no",
    points=2,
    needs=("complete",),
    realism="emulated",
    stands_in=STAND_IN,
)
def at_home(ctx: Context) -> Verdict:
    """A day, and one on which the eu is lost in the busiest hour; count its users who were served elsewhere."""
    mine = plan(ctx)
    several = {label: tier for label, tier in mine.tier.items() if len(tier.regions) > 1}
    expected = "users of the eu are served in the eu, also when it is lost: 0 elsewhere"
    away = {label: leaving_home(mine, label, speeds(ctx), home="eu", seed=ctx.seed) for label in several}
    unnamed = [label for label, tier in several.items() if "eu" not in tier.regions]
    if unnamed:
        return failed(expected=expected, observed=f"[tier.{unnamed[0]}] has no region eu", look="plan.toml")
    words = ", ".join(
        f"{label}: {count:,} requests of the eu were served elsewhere" for label, count in away.items()
    )
    return verdict(not any(away.values()), expected=expected, observed=words, look="plan.toml: home")


@check(
    title="What a million tokens cost is what the plan says, to the cent",
    points=3,
    needs=("complete",),
    realism="emulated",
    stands_in=STAND_IN,
)
def price(ctx: Context) -> Verdict:
    """Server-hours of the simulated day × the list price, by the tokens that were served."""
    mine = plan(ctx)
    found = {label: sized_tier.per_million for label, sized_tier in sized(ctx).items()}
    off = {
        label: dollars
        for label, dollars in found.items()
        if abs(dollars - mine.tier[label].price_per_million) > CENT
    }
    said = ", ".join(
        f"{label}: ${mine.tier[label].price_per_million:.2f}, and it is ${dollars:.2f}"
        for label, dollars in off.items()
    )
    return verdict(
        not off,
        expected=f"server-hours × the price of data/aws.toml ({sizing.priced()}), by the million tokens served",
        observed=said or ", ".join(f"{label} ${dollars:.2f}" for label, dollars in found.items()),
        look="lab.plan().sizes()",
    )


@check(
    title="It costs at most a quarter more than the cheapest plan that would do",
    points=3,
    needs=("sized-for-it",),
    realism="emulated",
    stands_in=STAND_IN,
)
def lean(ctx: Context) -> Verdict:
    """Find the smallest fixed number of servers that keeps the promise, and compare the day's dollars."""
    mine, found = plan(ctx), sized(ctx)
    best = {label: sizing.cheapest(mine, label, speeds(ctx), far=far(), seed=SEED) for label in found}
    dear = [label for label, sized_tier in found.items() if sized_tier.dollars > OVER * best[label].dollars]
    words = ", ".join(
        f"{label}: ${found[label].dollars:.0f} a day, {best[label].servers:.0f} servers would do for ${best[label].dollars:.0f}"
        for label in (dear or found)
    )
    return verdict(
        not dear,
        expected=f"at most {OVER:g} times the cheapest fixed size",
        observed=words,
        look="lab.plan().needed()",
    )


@check(title="Each claim is what its record says", points=4, needs=("complete",))
def claims(ctx: Context) -> Verdict:
    """Read the figure out of the record that each claim names."""
    expected = "five numbers, each that of its own record, within the record's spread"
    wrong: list[str] = []
    right: list[str] = []
    for claim in answers.read(ctx.files / answers.NAME):
        try:
            found = answers.figure(claim, ctx.files / "records")
        except LabError as error:
            wrong.append(f"{claim.topic}: {error.what}" + (f" ({error.fix})" if error.fix else ""))
            continue
        said = f"{claim.topic}: {claim.value:g} {claim.unit}; {claim.record} says {found}"
        (right if found.agrees(claim.value) else wrong).append(said)
    return verdict(not wrong, expected=expected, observed="; ".join(wrong or right), look="answers.toml")
