"""A routing of users to regions, as a notebook handles it: `regions = lab.regions()`, `regions.lose("us", "cut off").plot()`.

What a tool refuses is shown, not raised, so that the cells after it still run.
"""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

import yaml

from ...course import journal
from ...errors import LabError
from ...machine import profile
from ...plain import plain
from ...records.schema import Cell, Table
from ...show.bars import steps_bar
from ...show.bench import alone
from ...show.face import Face
from ...show.kept import keep
from ...show.shown import Drawn, Said, Shown, shown
from . import figures, numbers
from . import probes as incidents
from .globe import Globe
from .lost import COLUMNS, YOURS, Lost, rows_of, sum_of, times
from .probes import RESIDENTS, Load
from .routing import FILES, Routing
from .users import PATIENCE, RegionalUsers

if TYPE_CHECKING:
    from ...show.bench import Bench

GUIDE = "the guide's"
POLICIES = {
    "failover": "all to us",
    "random": "by chance",
    "weighted": "8 of 10 to us",
    "closest": "to the closest",
}


class LiveRegions(Face, what="The regions", again="regions = lab.regions()", works=["predicted"]):
    """Three regions and your routing to them. The routing is made anew whenever its files have changed. It ends with `lab.stop()`.

    :raises LabError: when a program is missing, an address is taken, or a server does not start.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveRegions)
        self.lab = lab  # whose routing it is
        self.repeats = 1 if profile() == "binder" else 3  # how often a loss is measured
        with steps_bar("step") as say:
            self.globe = Globe(say=say)
        self._routing: Routing | None = None
        self._text: tuple[str, ...] = ()

    def _now(self) -> Routing:
        """Your files in force, and everything whole.

        :raises LabError: when a tool refuses one, in its words.
        """
        self.globe.restore()
        files = [self.lab.files / name for name in FILES]
        text = tuple(file.read_text(errors="replace") if file.is_file() else "" for file in files)
        if self._routing is None or text != self._text:
            if self._routing is not None:
                self._routing.close()
                self._routing = None
            self._routing = Routing(self.globe, self.lab.files)
            self._text = text
        return self._routing

    # -- at rest ---------------------------------------------------------------------------------------

    @shown
    def answers(self) -> Shown:
        """To which region the name leads users of each kind, and for how long they may keep the answer."""
        rows = [
            (users, name, f"{', '.join(led) or rcode}, {ttl} s")
            for users, name, led, ttl, rcode in self._now().answers()
        ]
        return Shown(rows, self._now().said(), ("users", "ask for", "are led to, may keep it for"))

    @shown
    def ask(self) -> Shown:
        """Users of each kind ask for three seconds: who answered, how long it took."""
        with RegionalUsers(self._now()) as users:
            users.wait(3)
            rows = users.stop()
        told = []
        for kind in self.globe.users:
            own = [row for row in rows if row.users == kind]
            good = [row for row in own if row.ok]
            ms = f"{1000 * statistics.median(row.took for row in good):.0f} ms" if good else "–"
            served = ", ".join(sorted({row.region for row in good})) or "nobody"
            bad = sorted({row.error or f"HTTP {row.status}" for row in own if not row.ok})
            told.append(
                (kind, served, ms + (f"; {len(own) - len(good)} failed: {bad[0][:60]}" if bad else ""))
            )
        return Shown(
            told, self._routing.said()[-3:] if self._routing else [], ("users", "answered by", "median")
        )

    @shown
    def policies(self) -> Drawn:
        """Users of each continent under each policy and under yours, one after the other: how long a small reply takes."""
        rows: list[list[Cell]] = []
        mine = self._now()
        kinds = [kind for kind in self.globe.users if kind != RESIDENTS]
        with Routing(self.globe, incidents.REFERENCE) as given, steps_bar("step") as say:
            sets = [(said, given, f"{name}.llama.example.com") for name, said in POLICIES.items()]
            for turn in range(self.repeats):
                for said, routing, name in [*sets, (YOURS, mine, None)]:
                    say(f"{turn + 1} of {self.repeats}: {said}")
                    with RegionalUsers(routing, each=2, at=kinds, name=name, pause=0.05) as users:
                        users.wait(1.5)
                        rows += [
                            [said, row.users, 1000 * row.took, row.region] for row in users.stop() if row.ok
                        ]
        columns = {
            "policy": "where the name leads",
            "users": "continent",
            "ms": "to the whole small reply",
            "region": "that answered",
        }
        table = self._keep("policies", columns, rows)
        lines, worst = [], None
        for said in [*POLICIES.values(), YOURS]:
            medians = [
                statistics.median(own)
                for kind in kinds
                if (own := [float(row[2] or 0) for row in rows if row[:2] == [said, kind]])
            ]
            if medians:
                lines.append(f"{said}: {min(medians):.0f} to {max(medians):.0f} ms, the continents' medians")
                worst = max(medians) if said == POLICIES["closest"] else worst
        return Drawn(table, figures.policies, lines, {"worst median ms, closest": worst})

    # -- incidents -------------------------------------------------------------------------------------

    @shown
    def predicted(self) -> Said:
        """The two sums of your own numbers, part by part, beside what you promise."""
        promised = numbers.read(self.lab.files / numbers.NAME)
        return Said(
            [
                f"a region is gone: {sum_of(promised.predicted_region(PATIENCE))}; you promise {promised.promise_region:g} s",
                f"its servers are gone or slow: {sum_of(promised.predicted_servers(PATIENCE))}; you promise {promised.promise_servers:g} s",
            ]
        )

    @shown
    def lose(self, region: str, how: str = "killed", often: int | None = None) -> Lost:
        """Lose a region under its users, and give it back once they are served again, at the latest after 10 s; three times.

        :param how: `killed`, `cut off`, `hung`, `servers killed` or `slow`.
        """
        if region not in self.globe.places or how not in incidents.WAYS:
            raise LabError(
                f"{region!r} cannot be {how!r}.",
                fix=f"one of {', '.join(self.globe.places)}; {', '.join(incidents.WAYS)}",
            )
        mine, found = self._now(), []
        often = often or self.repeats
        with steps_bar("incident") as say:
            for turn in range(often):
                say(f"{region} {how}, {turn + 1} of {often}")
                found.append(incidents.happen(self.globe, {YOURS: mine}, region, how, after=2))
        lost = Lost(self._keep, self.globe, mine.numbers, found)
        journal.note(
            self.lab.files,
            "incident",
            done=f"{region} {how}, {often} times",
            observed=repr(lost).partition("\n")[0],
            restored=f"{region} is back",
        )
        return lost

    @shown
    def flapping(self, region: str = "us") -> Drawn:
        """A server that refuses for 4 s and serves for 3 s, three times: under your numbers, and under yours with `rise` and `fall` 1."""
        mine = self._now()
        eager = self.globe.folder / "eager"
        eager.mkdir(exist_ok=True)
        for name in FILES:
            (eager / name).write_text((self.lab.files / name).read_text(encoding="utf-8"), encoding="utf-8")
        data = yaml.safe_load((eager / "regions.yaml").read_text(encoding="utf-8"))
        data["health"] |= {"rise": 1, "fall": 1}
        (eager / "regions.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
        with Routing(self.globe, eager) as other, steps_bar("step") as say:
            say(f"{region} flaps, half a minute")
            incident = incidents.flap(
                self.globe, {YOURS: mine, "yours, with rise 1 and fall 1": other}, region
            )
        back = {
            name: incidents.returns(rows, region, incident.broke, incident.restored)
            for name, rows in incident.rows.items()
        }
        rows = rows_of([incident])
        rows += [["returned", name, "", 0.0, float(count), region, 0, 0] for name, count in back.items()]
        table = self._keep("incident", COLUMNS, rows, note=f"{region} flapping")
        lines = [f"{name}: {region} was left, and came back {times(count)}" for name, count in back.items()]
        return Drawn(table, figures.flapping, lines, back)

    @shown
    def survivors(self, lost: str = "us") -> Drawn:
        """More requests than two regions can serve, with three regions and with two: through the guide's routing and yours, alternating."""
        mine, lines = self._now(), []
        rows: list[list[Cell]] = []
        told: dict[str, Cell] = {}
        with Routing(self.globe, self.lab.info.starter) as guide, steps_bar("step") as say:
            for left in ("three regions", "two regions"):
                if left == "three regions":
                    self.globe.pace(incidents.PACE_MS)
                else:
                    incidents.left_to_the_others(self.globe, mine, lost, 8.0)
                found: dict[str, list[Load]] = {GUIDE: [], YOURS: []}
                for turn in range(self.repeats):
                    for name, routing in ((GUIDE, guide), (YOURS, mine)):
                        say(f"{left}, {turn + 1} of {self.repeats}: {name}")
                        found[name].append(incidents.loaded(routing, 3))
                for name, loads in found.items():
                    own = [row for load in loads for row in load.rows]
                    rows += [[name, left, row.status, row.took] for row in own]
                    told[f"{name}, {left}"] = 100 * sum(row.status == 429 for row in own) / max(1, len(own))
                    p95 = Load(own).p95()
                    said = f"p95 {p95:.2f} s" if math.isfinite(p95) else "nobody served"
                    lines.append(
                        f"{left}, {name}: {sum(row.ok for row in own)} of {len(own)} served, {said}; "
                        f"{sum(row.status == 429 for row in own)} told 429, {sum(len(load.lost) for load in loads)} neither"
                    )
        self.globe.restore()
        columns = {
            "routing": "whose",
            "left": "how many regions are up",
            "status": "HTTP, 0 without a reply",
            "took": "s",
        }
        table = self._keep("survivors", columns, rows, note=f"without {lost}")
        return Drawn(table, figures.survivors, lines, told)

    @shown
    def lose_all(self) -> Said:
        """The servers of all regions are killed: what users hear after the proxies had time to notice."""
        mine = self._now()
        rows = incidents.without_servers(self.globe, mine, min(8.0, mine.numbers.promise_servers))
        heard = [row.error if not row.status else f"HTTP {row.status}" for row in rows]
        return Said(
            [f"{heard.count(message)} of {len(rows)}: {message[:90]}" for message in dict.fromkeys(heard)]
        )

    @shown
    def said(self) -> Said:
        """What the name server and the proxies wrote of failing checks and records."""
        return Said(self._now().said() or ["nothing failed"])

    def _keep(self, kind: str, columns: dict[str, str], rows: list[list[Cell]], note: str = "") -> Table:
        return keep(self.lab, kind, columns, rows, note=note)[0]

    def close(self) -> None:
        """End it; may be called twice."""
        self.globe.close()

    def _lines(self) -> list[str]:
        lines = [
            f"{name}: {place.city}, {place.address}, HAProxy and a llama-server with 4 slots"
            for name, place in self.globe.places.items()
        ]
        kinds = ", ".join(f"{kind} in {place.city}" for kind, place in self.globe.users.items())
        return [
            *lines,
            f"users: {kinds}",
            "emulated: distances (Toxiproxy; a TCP handshake takes no time), and a reply holds its slot for at least 120 ms",
        ]

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(plain(line) for line in self._lines())
