"""The regions, the learner's routing and the lab's own in force there, and what users met at rest and in each loss."""

from collections.abc import Iterator
from typing import Any

from llmlab.checks import Context, fixture
from llmlab.tiers.regions.for_labs import Globe, RegionalUsers, Routing, seen

BUDGET = 8.0  # seconds: the longest that may be promised
GLOBE: dict[str, Any] = {
    "realism": "emulated",
    "stands_in": "distances (Toxiproxy: TCP's handshake takes no time), places (a GeoIP file of the lab's); name server, proxies, servers are real",
}
RESIDENTS = seen.RESIDENTS
#: Seconds for which a server loads its model: longer, by this, than `rise` good checks take, and so long at most.
LOADS, MOST_LOADS = 5.0, 15.0


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
    at, found = globe(ctx), list[seen.Incident]()
    numbers = routing(ctx).numbers
    loads = min(MOST_LOADS, numbers.rise * numbers.interval + LOADS) if how == "servers killed" else 0
    for region in ctx.random(f"order of {how}").sample(list(at.places), len(at.places)):
        ctx.say(f"{region} {how}")
        near = {kind: 2 for kind in seen.at_home(at, region)} if how == "servers killed" else 1
        found.append(
            seen.happen(
                at,
                both(ctx),
                region,
                how,
                each=near,
                pause=0.05 if how == "servers killed" else 0.25,
                loads=0 if found else loads,  # once is enough
            )
        )
    return found
