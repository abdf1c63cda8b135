"""What must hold meanwhile: residents' data stay, survivors are not overrun, an error is honest, who is back is not flooded."""

import json
import math
import statistics

from llmlab.checks import Context, Verdict, check, inconclusive, verdict
from llmlab.tiers.regions.for_labs import RegionalUsers, seen

from .globe import BUDGET, GLOBE, RESIDENTS, at_rest, both, globe, losses, routing


@check(title="The residents' data stay in the EU", points=5, machine=("regions",), **GLOBE)
def residency(ctx: Context) -> Verdict:
    """With everything up, and with the EU killed, cut off, without servers: bytes of residents at each entry and each region."""
    at, one = globe(ctx), routing(ctx)
    rows, arrived = at_rest(ctx)
    rows, arrived = list(rows), list(arrived)
    for how in ("killed", "cut off", "servers killed"):
        mark = at.mark()
        with RegionalUsers(one, each=2, at=[RESIDENTS]) as users:
            users.wait(0.5)
            seen.WAYS[how](at, "eu")
            users.wait(4)
            rows += users.stop()
        at.restore()
        arrived += at.arrived(mark)
    left = {
        region: sum(
            it.bytes_in + it.bytes_out
            for it in arrived
            if it.region == region and it.user.startswith(RESIDENTS)
        )
        for region in at.places
    }
    led = {region: sum(it.entry == region for it in rows if it.users == RESIDENTS) for region in at.places}
    served = sum(it.ok for it in rows if it.users == RESIDENTS)
    words = [f"{count:,} bytes in {region}" for region, count in left.items() if region != "eu" and count]
    words += [
        f"{count} requests to the entry of {region}"
        for region, count in led.items()
        if region != "eu" and count
    ]
    words += [] if served else ["nobody was served"]
    return verdict(
        not words,
        expected="0 bytes of theirs in us and asia, also while the EU is down; served when it is up",
        observed="; ".join(words)
        or f"0 bytes in us and asia, {left['eu']:,} in eu; {served} of {served + sum(not it.ok for it in rows if it.users == RESIDENTS)} served",
        look="regions.lose('eu', 'servers killed').seen()",
    )


@check(
    title="The survivors stay quick, or say at once that they are full",
    points=5,
    needs=("serves", "nearest"),
    machine=("regions",),
    timed=True,
    **GLOBE,
)
def survivors(ctx: Context) -> Verdict:
    """One region is gone, and 27 requests a second meet slots for 21: your routing and the lab's own in turn, three times each."""
    at, pair = globe(ctx), both(ctx)
    seen.left_to_the_others(at, pair["yours"], ctx.random("survivors").choice(["us", "asia"]), BUDGET)
    loads: dict[str, list[seen.Load]] = {name: [] for name in pair}
    for turn in range(3):
        for name, routes in pair.items():
            ctx.say(f"load {turn + 1} of 3: {name}")
            loads[name].append(seen.loaded(routes))
    at.restore()
    mine, other = loads["yours"], loads["reference"]
    ratio = statistics.median(a.p95() / b.p95() for a, b in zip(mine, other, strict=True))
    served = sum(len(it.served) for it in mine) / max(1, sum(len(it.served) for it in other))
    lost = sum(len(it.lost) for it in mine)
    total = sum(len(it.rows) for it in mine)
    expected = "p95 of those served at most 1.5 times that of the lab's own routing, at least 80 % as many served, the rest told 429 at once"
    observed = (
        f"p95 {', '.join(f'{it.p95():.2f}' for it in mine)} s, {ratio:.1f} times; {served:.0%} as many served; "
        f"{sum(len(it.shed) for it in mine)} of {total} told 429, {lost} neither"
    )
    good = ratio <= 1.5 and served >= 0.8 and lost <= 0.02 * total
    if not good and statistics.median(it.p95() for it in other) > 2.0:
        return inconclusive(
            "the lab's own routing was slow too",
            expected=expected,
            observed=observed,
            look="regions.survivors().plot()",
        )
    return verdict(good, expected=expected, observed=observed, look="regions.survivors().plot()")


def _honest(one) -> bool:
    """An error that says so, soon, in a form that a client can show."""
    try:
        return one.status in (429, 502, 503, 504) and one.took <= 1 and "error" in json.loads(one.error)
    except ValueError:
        return False


@check(title="With everything down the answer is honest", points=3, machine=("regions",), **GLOBE)
def honest(ctx: Context) -> Verdict:
    """The servers of all regions are killed; what users hear once the proxies had time to notice, three times."""
    at, one = globe(ctx), routing(ctx)
    wrong, heard = [], 0
    for _ in range(3):
        rows = seen.without_servers(at, one, min(BUDGET, one.numbers.promise_servers))
        heard += len(rows)
        wrong += [
            f"HTTP {it.status} after {it.took:.1f} s: {it.error[:60]}" for it in rows if not _honest(it)
        ]
    return verdict(
        heard > 0 and not wrong,
        expected="502, 503, 504 or 429 within a second, with a JSON body that says `error`: what an OpenAI client can show",
        observed=f"{len(wrong)} of {heard} otherwise: {', '.join(sorted(set(wrong))[:3])}"
        if wrong
        else f"{heard} of {heard} so",
        look="regions.lose_all()",
    )


@check(
    title="A region that is back is not flooded",
    points=4,
    needs=("servers-lost",),
    machine=("regions",),
    **GLOBE,
)
def gradual(ctx: Context) -> Verdict:
    """How much of its former load a region has in its first 1.5 s back, after its servers were lost; each of the three."""
    shares = [seen.early_share(loss, "yours") for loss in losses(ctx, "servers killed")]
    said = ", ".join("none" if math.isnan(share) else f"{share:.0%}" for share in shares)
    good = not any(math.isnan(share) for share in shares) and statistics.median(shares) <= 0.75
    return verdict(
        good,
        expected="it serves again, and at first at most 75 % of what it did before (the median of three)",
        observed=said,
        look="regions.lose('us', 'servers killed').plot()",
    )
