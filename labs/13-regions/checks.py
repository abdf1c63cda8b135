"""Lab 13: users on every continent through the learner's zone and proxies, while regions are lost, slow, flap and come back.

The lab's own routing of the same regions runs beside the learner's, with users of its own, in the same incidents: when even that
one is late, the machine is too noisy to say.
"""

import json
import math
import statistics
from collections.abc import Iterator
from typing import Any

from llmlab.checks import Context, Verdict, check, failed, fixture, inconclusive, passed, verdict
from llmlab.tiers.regions.for_labs import Globe, RegionalUsers, Routing, seen

BUDGET = 8.0  # seconds: the longest that may be promised
MARGIN = 1.2
GLOBE: dict[str, Any] = {
    "realism": "emulated",
    "stands_in": "distances (Toxiproxy: TCP's handshake takes no time), places (a GeoIP file of the lab's); name server, proxies, servers are real",
}
RESIDENTS = seen.RESIDENTS
WAYS = ("killed", "cut off", "servers killed", "slow")


@fixture(ours=True)
def regions(ctx: Context) -> Iterator[Globe]:
    """The regions, up."""
    with Globe(draw=ctx.random("globe"), say=ctx.say) as at:
        yield at


def globe(ctx: Context) -> Globe:
    """The regions, whole before each check."""
    at = regions(ctx)
    at.restore()
    return at


@fixture
def in_force(ctx: Context) -> Iterator[Routing]:
    """The learner's files in force."""
    with Routing(globe(ctx), ctx.files, say=ctx.say) as one:
        yield one


def routing(ctx: Context) -> Routing:
    """The same, in regions that are whole."""
    globe(ctx)
    return in_force(ctx)


@fixture(ours=True)
def reference(ctx: Context) -> Iterator[Routing]:
    """The lab's own routing in force."""
    with Routing(globe(ctx), seen.REFERENCE) as one:
        yield one


def both(ctx: Context) -> dict[str, Routing]:
    """The learner's, and the lab's own."""
    return {"yours": routing(ctx), "reference": reference(ctx)}


@fixture(ours=True)
def at_rest(ctx: Context):
    """Nothing is wrong: what users of each kind meet, and what reached the regions."""
    one, at = routing(ctx), globe(ctx)
    mark = at.mark()
    with RegionalUsers(one) as users:
        users.wait(5)
        rows = users.stop()
    return rows, at.arrived(mark)


@fixture(ours=True)
def losses(ctx: Context, how: str):
    """Each region lost in one way, and given back, in an order of this learner's own."""
    at, found = globe(ctx), []
    for region in ctx.random(f"order of {how}").sample(list(at.places), len(at.places)):
        ctx.say(f"{region} {how}")
        near = {kind: 2 for kind in seen.at_home(at, region)} if how == "servers killed" else 1
        found.append(
            seen.happen(
                at, both(ctx), region, how, each=near, pause=0.05 if how == "servers killed" else 0.25
            )
        )
    return found


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
                f"{loss.region} {_s(t)}" for loss, t in zip(losses(ctx, how), took["yours"], strict=True)
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
    """Each of the three in turn; its entry still stands."""
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
