"""What happens to users when a region fails, and what is read from it: time to recovery, comebacks, who saw whose bytes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ...records.stats import percentile
from .globe import Arrived, Globe
from .routing import Routing
from .users import RegionalUsers, UserRequest

REFERENCE = Path(__file__).with_name("reference")
RESIDENTS = "residents"
CALM = 1.5  # seconds without a failure after which users are served again
LATE = 2.0  # seconds that a slow region's replies are late
GAP = 1.2  # seconds without a reply after which a region was left
MOST_OUT, MOST_BACK = 10.0, 14.0  # seconds for which an outage lasts, and its end is waited for, at most
#: How a region is lost: in the words of `Globe`'s methods.
WAYS: Mapping[str, Callable[[Globe, str], None]] = {
    "killed": Globe.kill,
    "cut off": Globe.cut,
    "hung": Globe.hang,
    "servers killed": Globe.kill_servers,
    "slow": lambda globe, name: globe.slow(name, LATE),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """A region lost and restored under users of one or more routings. Times are seconds from the users' beginning."""

    how: str
    region: str
    broke: float
    restored: float
    rows: Mapping[str, list[UserRequest]]
    arrived: list[Arrived] = field(default_factory=list)
    loaded: float = 0.0  # seconds for which the server answered and loaded its model, before it was restored


def homes(globe: Globe) -> dict[str, str]:
    """The region that is closest to each kind of users; residents have no other than the EU."""
    near = {
        kind: min(globe.places, key=lambda name: place.rtt(globe.places[name]))
        for kind, place in globe.users.items()
    }
    return near | {RESIDENTS: "eu"}


def at_home(globe: Globe, region: str) -> list[str]:
    """The kinds of users whose region it is, and who may go elsewhere."""
    return [kind for kind, home in homes(globe).items() if home == region and kind != RESIDENTS]


def happen(
    globe: Globe,
    routings: Mapping[str, Routing],
    region: str,
    how: str,
    *,
    each: int | Mapping[str, int] = 1,
    pause: float = 0.25,
    after: float = 1.0,
    most: float = MOST_OUT,
    loads: float = 0,
) -> Incident:
    """Users ask through each routing; the region is lost until they are served again, at most `most` seconds; it comes back.

    :param each: users of each kind of the first routing; the others have one.
    :param loads: seconds for which its server, started again, answers 503 because it loads its model; the region is still lost.
    :param after: seconds for which they go on once it serves again.
    """
    near = at_home(globe, region)
    mark = globe.mark()
    with contextlib.ExitStack() as stack:
        sets = {
            name: stack.enter_context(
                RegionalUsers(routing, each=each if n == 0 else 1, pause=pause if n == 0 else 0.25)
            )
            for n, (name, routing) in enumerate(routings.items())
        }
        first = next(iter(sets.values()))
        first.wait(1.5)
        broke = first.now
        WAYS[how](globe, region)
        first.wait(2 * CALM)
        first.wait(most - 2 * CALM, lambda: all(_calm(users, near) for users in sets.values()))
        loaded = 0.0
        if loads:
            with globe.loading(region) as held:
                if held:
                    began = first.now
                    first.wait(loads)
                    loaded = first.now - began
                restored = first.now
        else:
            restored = first.now
        globe.restore(region)
        first.wait(MOST_BACK, lambda: all(_back(users, region, restored) for users in sets.values()))
        first.wait(after)
        rows = {name: users.stop() for name, users in sets.items()}
    return Incident(how, region, broke, restored, rows, globe.arrived(mark), loaded)


def _calm(users: RegionalUsers, kinds: Sequence[str]) -> bool:
    lately = [row for row in list(users.rows) if row.users in kinds and row.over > users.now - CALM]
    return all(row.ok for row in lately) and {row.users for row in lately} == set(kinds)


def _back(users: RegionalUsers, region: str, since: float) -> bool:
    return any(row.ok and row.region == region and row.sent > since for row in list(users.rows))


def recovery(rows: Sequence[UserRequest], kinds: Sequence[str], broke: float, restored: float) -> float:
    """Seconds from the loss to the end of the last request that failed; infinity when they were not served again while it lasted."""
    during = [row for row in rows if row.users in kinds and broke < row.over <= restored]
    last = max((row.over for row in during if not row.ok), default=broke)
    served = {row.users for row in during if row.ok and row.sent > last}
    return last - broke if served == set(kinds) and restored - last >= CALM * 0.9 else math.inf


def returns(rows: Sequence[UserRequest], region: str, broke: float, restored: float) -> int:
    """How often a region that had been left served again: gaps between its replies while the incident lasts, and its end."""
    own = [row for row in rows if row.ok and row.region == region and row.sent >= broke]
    times = [broke, *sorted(row.over for row in own if row.over <= restored)]
    return sum(b - a > GAP for a, b in pairwise(times)) + any(row.over > restored for row in own)


def flap(
    globe: Globe,
    routings: Mapping[str, Routing],
    region: str,
    *,
    cycles: int = 3,
    down: float = 4.0,
    up: float = 3.0,
) -> Incident:
    """A region's server that refuses, and takes, and refuses again; it stays up after the last time."""
    mark = globe.mark()
    with contextlib.ExitStack() as stack:
        sets = {name: stack.enter_context(RegionalUsers(routing)) for name, routing in routings.items()}
        first = next(iter(sets.values()))
        first.wait(1.5)
        broke = first.now
        for turn in range(cycles):
            globe.tear(region)
            first.wait(down)
            globe.tear(region, torn=False)
            if turn < cycles - 1:
                first.wait(up)
        restored = first.now
        first.wait(MOST_BACK, lambda: all(_back(users, region, restored + 0.5) for users in sets.values()))
        first.wait(1.0)
        rows = {name: users.stop() for name, users in sets.items()}
    return Incident("flapping", region, broke, restored, rows, globe.arrived(mark))


def without_servers(globe: Globe, routing: Routing, notice: float) -> list[UserRequest]:
    """The servers of all regions are killed: what users hear once the proxies had `notice` seconds. Then they are back."""
    with RegionalUsers(routing) as users:
        for region in globe.places:
            globe.kill_servers(region)
        users.wait(notice)
        since = users.now
        users.wait(CALM)
        rows = users.stop()
    globe.restore()
    return [row for row in rows if row.sent > since]


def early_share(incident: Incident, name: str, seconds: float = 1.5) -> float:
    """Of the replies a second that a region gave before it was lost, the share in its first moments back."""
    times = sorted(row.over for row in incident.rows[name] if row.ok and row.region == incident.region)
    before = [at for at in times if at < incident.broke]
    after = [at for at in times if at > incident.restored]
    if not before or not after:
        return math.nan
    rate = len([at for at in before if at > incident.broke - 1.2]) / 1.2
    return len([at for at in after if at < after[0] + seconds]) / seconds / rate


@dataclass(frozen=True, slots=True)
class Load:
    """Requests at a fixed rate: those served, those told at once that there is no room (429), those that got neither."""

    rows: list[UserRequest]

    @property
    def served(self) -> list[UserRequest]:
        """With tokens."""
        return [row for row in self.rows if row.ok]

    @property
    def shed(self) -> list[UserRequest]:
        """With 429."""
        return [row for row in self.rows if row.status == 429]

    @property
    def lost(self) -> list[UserRequest]:
        """With neither."""
        return [row for row in self.rows if not row.ok and row.status != 429]

    def p95(self) -> float:
        """Seconds within which 19 of 20 of those served were; infinity where fewer than 20 were."""
        found = percentile([row.took for row in self.served], 95)
        return math.inf if found is None else found


#: How the regions are loaded when one is missing: replies of so many more ms hold the slots, so many requests a second in all.
#: Twelve slots serve 32 a second then, and eight 21.
PACE_MS, RATE, SECONDS, PATIENCE = 250, 27.0, 4.0, 6.0


def loaded(routing: Routing, seconds: float = SECONDS) -> Load:
    """More than two regions can serve and less than three, through one routing, from all kinds of users but the residents."""
    kinds = [kind for kind in routing.globe.users if kind != RESIDENTS]
    with RegionalUsers(routing, rate=RATE / len(kinds), at=kinds, patience=PATIENCE) as users:
        users.wait(seconds)
        return Load(users.stop())


def left_to_the_others(globe: Globe, routing: Routing, lost: str, within: float) -> None:
    """A region is gone under the load to come, and the names have had time to lead elsewhere."""
    globe.pace(PACE_MS)
    globe.kill(lost)
    kinds = [kind for kind in globe.users if kind != RESIDENTS]
    with RegionalUsers(routing) as users:
        users.wait(2 * CALM)
        users.wait(within - 2 * CALM, lambda: _calm(users, kinds))
