"""Users are led to the region next to them, and to another one as soon as promised, once for each incident."""

import math

from llmlab.checks import Context, Verdict, check, failed, inconclusive, passed, verdict
from llmlab.tiers.regions.for_labs import seen

from .globe import BUDGET, GLOBE, at_rest, both, globe, losses, routing

MARGIN = 1.2
WAYS = ("killed", "cut off", "servers killed", "slow")


def recovered(ctx: Context, hows: tuple[str, ...], promise: float, part: str) -> Verdict:
    """How long users of the lost region were not served, against the learner's own promise and the lab's budget."""
    at, lines, worst = globe(ctx), [], 0.0
    own = getattr(both(ctx)["reference"].numbers, f"promise_{part}")
    reference = []
    for how in hows:
        took = {
            name: [
                seen.recovery(loss.rows[name], seen.at_home(at, loss.region), loss.broke, loss.restored)
                for loss in losses(ctx, how)
            ]
            for name in ("yours", "reference")
        }
        worst = max(worst, *took["yours"])
        reference += took["reference"]
        lines.append(
            f"{how}: "
            + ", ".join(
                f"{loss.region} {_s(t)}" + (f" ({loss.loaded:.0f} s of loading)" if loss.loaded else "")
                for loss, t in zip(losses(ctx, how), took["yours"], strict=True)
            )
        )
    expected = f"served again within {MARGIN * promise:.1f} s, which is promise.{part} ({promise:g} s) and 20 %; promised are at most {BUDGET:g} s"
    observed = "; ".join(lines) + f"; the lab's own routing {_s(min(reference))} to {_s(max(reference))}"
    look = f"regions.lose('eu', '{hows[0]}').plot()"
    if promise > BUDGET or worst > MARGIN * promise:
        if promise <= BUDGET and max(reference) > MARGIN * own:
            return inconclusive(
                "the lab's own routing was late too", expected=expected, observed=observed, look=look
            )
        return failed(expected=expected, observed=observed, look=look)
    return passed(expected=expected, observed=observed, look=look, worst=worst, promised=promise)


def _s(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds:.1f} s"


@check(title="The files are taken, and users everywhere get tokens", points=3, machine=("regions",), **GLOBE)
def serves(ctx: Context) -> Verdict:
    """A user of each kind for five seconds, with everything up."""
    rows, _ = at_rest(ctx)
    bad = [row for row in rows if not row.ok]
    lines = sorted({f"{row.users}: {f'HTTP {row.status}' if row.status else row.error}" for row in bad})
    return verdict(
        rows and not bad,
        expected="every request answered with tokens",
        observed=f"{len(rows) - len(bad)} of {len(rows)}"
        + (f"; {'; '.join([*lines[:4], *routing(ctx).said()[-2:]])}" if bad else ""),
        look="regions.ask()",
    )


@check(title="Users are led to the region next to them", points=4, machine=("regions",), **GLOBE)
def nearest(ctx: Context) -> Verdict:
    """Which region answered users of each continent, with everything up."""
    rows, _ = at_rest(ctx)
    homes = seen.homes(globe(ctx))
    wrong = []
    for kind, home in homes.items():
        own = [row for row in rows if row.users == kind and row.ok]
        away = [row for row in own if row.region != home]
        if not own or len(away) > 0.1 * len(own):
            wrong.append(f"{kind}: {len(own) - len(away)} of {len(own)} from {home}")
    return verdict(
        not wrong,
        expected="9 of 10 replies from the region that is closest: the Americas us, Europe and Africa eu, Asia and Oceania asia",
        observed="; ".join(wrong)
        or f"all {len(homes)} kinds of users, in {sum(row.ok for row in rows)} replies",
        look="regions.policies().plot()",
        hidden="; ".join(
            f"{kind} in {place.city}, {place.network}" for kind, place in globe(ctx).users.items()
        ),
    )


@check(
    title="A region is gone: users are served elsewhere, as soon as promised",
    points=5,
    needs=("serves", "nearest"),
    machine=("regions",),
    timed=True,
    **GLOBE,
)
def region_lost(ctx: Context) -> Verdict:
    """Each of the three in turn: killed with its entry, then cut off from everybody."""
    return recovered(ctx, ("killed", "cut off"), routing(ctx).numbers.promise_region, "region")


@check(
    title="A region's servers are gone: users are served elsewhere, as soon as promised",
    points=3,
    needs=("serves", "nearest"),
    machine=("regions",),
    timed=True,
    **GLOBE,
)
def servers_lost(ctx: Context) -> Verdict:
    """Each of the three in turn; its entry still stands. The first one's server loads its model for a while before it is back."""
    return recovered(ctx, ("servers killed",), routing(ctx).numbers.promise_servers, "servers")


@check(
    title="A slow region is drained",
    points=4,
    needs=("serves", "nearest"),
    machine=("regions",),
    timed=True,
    **GLOBE,
)
def slow(ctx: Context) -> Verdict:
    """Each of the three in turn: its server is alive, and every reply, also to a health check, comes 2 s late."""
    return recovered(ctx, ("slow",), routing(ctx).numbers.promise_servers, "servers")


@check(
    title="One incident, one change",
    points=3,
    needs=("region-lost", "servers-lost", "slow"),
    machine=("regions",),
    **GLOBE,
)
def once(ctx: Context) -> Verdict:
    """How often each lost region, once left, began to serve again."""
    often = []
    for how in WAYS:
        for loss in losses(ctx, how):
            count = seen.returns(loss.rows["yours"], loss.region, loss.broke, loss.restored)
            if count != 1:
                often.append(f"{loss.region} {how}: {count} times")
    return verdict(
        not often,
        expected="left once, and back once, in each of 12 incidents",
        observed="; ".join(often) or f"so it was, in {sum(len(losses(ctx, how)) for how in WAYS)} incidents",
        look="regions.lose('us', 'slow').plot()",
    )


@check(
    title="A flapping region does not make the answer flap",
    points=4,
    needs=("serves", "nearest"),
    machine=("regions",),
    timed=True,
    **GLOBE,
)
def flapping(ctx: Context) -> Verdict:
    """The server of one region refuses for 4 s and serves for 3 s, three times over; then it stays up."""
    at, region = globe(ctx), ctx.random("flapping").choice(["us", "eu", "asia"])
    incident = seen.flap(at, both(ctx), region)
    count = {
        name: seen.returns(rows, region, incident.broke, incident.restored)
        for name, rows in incident.rows.items()
    }
    expected, look = "left once, and back once it stays up", "regions.flapping().plot()"
    observed = f"{region} came back {'once' if count['yours'] == 1 else str(count['yours']) + ' times'}"
    if count["yours"] > 1 and count["reference"] > 1:
        return inconclusive(
            "the lab's own routing flapped too", expected=expected, observed=observed, look=look
        )
    return verdict(count["yours"] == 1, expected=expected, observed=observed, look=look)
