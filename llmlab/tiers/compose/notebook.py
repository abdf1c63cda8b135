"""A Compose project as a notebook handles it: `stack = lab.up()`, `stack.scale(3)`, `stack.burst().plot()`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from ...course import journal
from ...errors import LabError
from ...load import closed, measure, poisson, trace
from ...load.target import Target
from ...plain import plain
from ...records import stats
from ...records.schema import Cell, Plan
from ...show.at_hand import live_page
from ...show.face import Face
from ...show.kept import keep, store
from ...show.measured import Measured
from ...show.shown import Drawn, Said, Shown
from ..docker.images import ensure
from .dashboards import filled, named, panels, read_dashboard
from .furnish import furnish
from .probes import Fleet, opens, served, wait
from .project import Project, service_of

if TYPE_CHECKING:
    from ...show.bench import Bench

#: Users of the policy comparison, how often each comes back, and requests of a burst, by profile.
WORK = {"binder": (12, 3, 30), "laptop": (12, 6, 40), "workstation": (24, 8, 60)}
#: The doors of policies/compose.yaml, as its haproxy.cfg numbers them.
POLICIES = {"round robin": 8001, "least connections": 8002, "consistent hash, bounded": 8003}


class PolicyShares(Drawn):
    """Requests and prefix-cache hits of each replica, by policy."""

    def hits(self, policy: str) -> float | None:
        """The share of the prompt tokens that a policy's replicas found in their caches, 0 to 1; None when nothing was counted."""
        own = [row for row in self.table.dicts() if row["policy"] == policy]
        cached = sum(int(row["cached_tokens"] or 0) for row in own)
        prompt = sum(int(row["prompt_tokens"] or 0) for row in own) + cached
        return cached / prompt if prompt else None


class LiveProject(Face, what="The stack", again="stack = lab.up({self.file!r})"):
    """A Compose project of this notebook. It ends with `lab.stop()`, when the file is brought up again, and with the kernel.

    :param file: a file of the lab; the model, the key and the given files are put beside it.
    :param scale: service → how many replicas, instead of what the file says.
    :param own_ports: publish on free ports; None: only when somebody else holds one of the file's ports, which is then said.
    :raises LabError: with Compose's words, or who holds the port.
    """

    def __init__(
        self,
        lab: Bench,
        file: str = "compose.yaml",
        *,
        scale: dict[str, int] | None = None,
        own_ports: bool | None = None,
    ) -> None:
        from ...machine import profile

        self.lab = lab  # whose files they are
        self.file = file
        self.profile = profile()  # of this machine: how much load it can take
        for project in [
            project for project in lab.opened if isinstance(project, LiveProject) and project.file == file
        ]:
            project.close()
            lab.opened.remove(project)
        ensure(lab.info.images.get("docker", ()))
        key = furnish(lab.files, lab.info.folder)
        self.note: str | None = None  # what its reader should know, such as other ports
        self.project = Project(lab.files / file, own_ports=bool(own_ports))
        taken = [] if own_ports else self.project.taken()
        if taken:
            port, holder = taken[0]
            if own_ports is False:
                raise LabError(
                    f"Port {port} is taken by {holder}.",
                    where=file,
                    fix=f"stop {holder}, or leave own_ports out",
                )
            self.note = f"Port {port} is taken by {holder}: published on free ports instead."
            self.project.own_ports = True
        self.project.up(scale=scale)
        try:
            self.fleet = Fleet(self.project, key)
            self._door = self.fleet.door()
        except BaseException:
            self.close()
            raise

    # -- what runs ------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where its door answers."""
        return self._door

    @property
    def replicas(self) -> int:
        """How many containers run llama-server now."""
        return len(self.fleet.replicas())

    def ps(self) -> Shown:
        """Its containers: service, how it is, where it is published."""
        rows = []
        for container in self.project.containers():
            health = (container.attrs["State"].get("Health") or {}).get("Status")
            places = [address for other, address in self.project.addresses() if other.id == container.id]
            rows.append(
                (container.name, container.status + (f" ({health})" if health else ""), ", ".join(places))
            )
        name = self.project.claim.name if self.project.claim else ""
        return Shown(
            rows,
            [f"the same from a shell: docker compose -p {name} ps"],
            ("container", "state", "published at"),
        )

    def scale(self, count: int) -> Said:
        """`docker compose up --scale SERVICE=COUNT` of the service that runs llama-server; what Compose says, if it refuses."""
        service = self.fleet.service
        try:
            self.project.up(scale={service: count})
            said = []
        except LabError as error:
            said = error.lines()
        running = [service_of(replica) for replica in self.fleet.replicas()]
        return Said([f"--scale {service}={count}: {len(running)} running", *said])

    def targets(self) -> Shown:
        """What Prometheus scrapes, and what it got.

        :raises LabError: when there is no Prometheus.
        """
        active, replicas = self.fleet.scraped()
        rows = [(target["scrapeUrl"], target["health"], target["lastError"]) for target in active]
        seen = sum(state == "up" for state in replicas.values())
        return Shown(
            rows, [f"{seen} of {len(replicas)} replicas are scraped"], ("target", "health", "last error")
        )

    def alerts(self) -> list[str]:
        """The alerts that are firing now, as Alertmanager knows them."""
        return sorted({alert["labels"]["alertname"] for alert in self.fleet.alerts()})

    # -- load -----------------------------------------------------------------------------------------

    def load(
        self,
        *,
        concurrency: int | Sequence[int] = 6,
        rate: float | None = None,
        requests: int | None = None,
        **more: Any,
    ) -> Measured:
        """Load the door: a closed loop of so many streams, or with `rate` an open one; more as `llmlab.load.closed` takes it."""
        more.setdefault("seed", self.lab.seed)
        more.setdefault("max_tokens", 32)
        if rate is not None:
            return self.measure([poisson(rate, requests=requests or 64, **more)])
        streams = [concurrency] if isinstance(concurrency, int) else concurrency
        return self.measure(
            [closed(stream, requests=requests or max(16, 4 * stream), **more) for stream in streams]
        )

    def burst(self, requests: int | None = None) -> Measured:
        """A quiet second, then so many requests in one moment, then a quiet second: who waits, how long, who is refused."""
        count = requests or WORK[self.profile][2]
        quiet = [0.0, 0.3, 0.6, 0.9]
        late = [4.0, 4.3, 4.6, 4.9]
        offsets = [*quiet, *([1.2] * count), *late]
        return self.measure([trace(offsets, warmup=1, max_tokens=96, seed=self.lab.seed)])

    def crash(self, requests: int = 120) -> Measured:
        """Load every slot, and kill one replica's main process in the middle, as a crash would."""
        victim, done = self.fleet.replicas()[0], threading.Event()

        def on_event(progress: Any) -> None:
            if progress.phase == "run" and progress.done >= requests // 6 and not done.is_set():
                done.set()
                self.fleet.crash(victim)

        slots = sum(self.fleet.slots()[0])
        plan = closed(slots, requests=requests, warmup=0, max_tokens=64, timeout=30, seed=self.lab.seed)
        measured = self.measure([plan], on_event=on_event)
        failed = sum(len(stats.failed(run)) for run in measured.runs)
        journal.note(
            self.lab.files,
            "incident",
            done="one replica's process killed under load",
            observed=f"{failed} of {requests} requests failed",
        )
        return measured

    def measure(self, plans: Sequence[Plan], *, on_event: Any = None) -> Measured:
        """Run plans made with `llmlab.load` against the door; the record is saved."""
        record = measure(self.fleet.target(), plans, lab=self.lab.info.name, on_event=on_event)
        # Behind a door each look at /metrics meets another replica: their counters make no window.
        runs = [msgspec.structs.replace(run, counters=None) for run in record.runs]
        record = msgspec.structs.replace(
            record, runs=runs, note=f"{len(self.fleet.replicas())} replicas behind one door"
        )
        return Measured(record, store(record, self.lab.files / "records"))

    # -- shares ---------------------------------------------------------------------------------------

    def shares(self) -> PolicyShares:
        """Users who come back with the same prompt, through your door: requests and cache hits of each replica.

        Drawn: share and hit rate of each.
        """
        return self._shares({"yours": self.url})

    def policies(self) -> PolicyShares:
        """The same through each of the doors of policies/compose.yaml.

        :raises LabError: when this is another project.
        """
        doors = {}
        for name, port in POLICIES.items():
            address = self.project.published("doors", port)
            if address is None:
                raise LabError(
                    f"{self.file} has no door for {name}.", fix='lab.up("policies/compose.yaml").policies()'
                )
            doors[name] = address
        return self._shares(doors)

    def _shares(self, doors: dict[str, str]) -> PolicyShares:
        from .figures.shares import shares

        users, times, _ = WORK[self.profile]
        names = {replica.name: f"replica {number}" for number, replica in enumerate(self.fleet.replicas(), 1)}
        rows: list[list[Cell]] = []
        target = self.fleet.target()
        for number, (policy, address) in enumerate(doors.items()):
            door = Target(url=address, api_key=target.api_key, info=target.info)
            # Other words for each policy: none may find what the one before left in the caches.
            plan = closed(
                len(names), requests=users, warmup=0, api="chat", prompt_tokens=120, max_tokens=8,
                cache_prompt=True, seed=1000 * self.lab.seed + number,
            )  # fmt: skip
            wait(lambda at=address: self._ready(at), within=20, what=f"the door {policy}")  # type: ignore[misc]
            measure(door, [plan])  # everybody's first visit, which no cache can know
            before = self.fleet.quiet()
            measure(door, [plan] * times)
            after = self.fleet.quiet()
            answered = served(before, after, tokens=plan.max_tokens)
            for name, shown in names.items():
                moved = {
                    key: int(after[name][key] - before[name].get(key, 0))
                    for key in ("prompt_tokens_total", "prompt_tokens_cached_total")
                }
                rows.append([policy, shown, answered[name], *moved.values()])
        note = f"{users} users, each {times} times again with a prompt of 120 words"
        table, _ = keep(self.lab, "shares", SHARES, rows, note=note)
        found = PolicyShares(table, shares, [])
        for chosen in dict.fromkeys(map(str, table.column("policy"))):
            counts = ", ".join(str(row["requests"]) for row in table.dicts() if row["policy"] == chosen)
            found.lines.append(
                f"{chosen}: {counts} requests by replica; {found.hits(chosen) or 0:.0%} of prompt tokens from the cache"
            )
        return found

    def _ready(self, address: str) -> tuple[bool | None, str]:
        return (True, "") if opens(address, self.fleet.opening()) else (None, "it has no replica yet")

    # -- the dashboard --------------------------------------------------------------------------------

    def dashboard(self, file: str = "dashboard.json", *, seconds: float = 90) -> Drawn:
        """Every panel of the dashboard, as Prometheus answers its queries over the last seconds.

        :raises LabError: no Prometheus, or no dashboard.
        """
        from .figures.panels import panels as draw

        rows: list[list[Cell]] = []
        for title, unit, expr, legend in panels(read_dashboard(self.lab.files / file)):
            try:
                found = self.fleet.series(filled(expr), seconds=seconds)
            except LabError as error:
                if "Prometheus:" not in error.what:
                    raise
                found = []
            if not found:
                rows.append([title, unit, "", None, None])
            now = max((at for _, points in found for at, _ in points), default=0.0)
            for labels, points in found:
                rows += [[title, unit, named(legend, labels), at - now, value] for at, value in points]
        table, _ = keep(self.lab, "panels", PANELS, rows)
        empty = [row["panel"] for row in table.dicts() if row["value"] is None]
        names = dict.fromkeys(table.column("panel"))
        return Drawn(table, draw, [f"{it}: {'no data' if it in empty else 'data'}" for it in names])

    def close(self) -> None:
        """`docker compose down -v`; may be called twice."""
        self.project.down()

    def _lines(self) -> list[str]:
        count = len(self.fleet.replicas())
        lines = [
            f"● {self.file} is up: {len(self.project.containers())} containers, the door answers at {self.url}"
        ]
        lines += [f"{count} replica{'s' if count != 1 else ''} of {self.fleet.service}"]
        return lines + ([self.note] if self.note else [])

    def __repr__(self) -> str:
        return "\n".join([*self._lines(), repr(self.ps())])

    def _repr_html_(self) -> str:
        said = "<br>".join(plain(line) for line in self._lines())
        pages = "".join(
            live_page(
                f"{container.name.partition('-')[2] or container.name} page", urlsplit(address).port or 80
            )
            for container, address in self.project.addresses()
        )
        return f'<div role="status">{said}</div>{pages}{self.ps()._repr_html_()}'


SHARES = {
    "policy": "how the door chooses",
    "replica": "which one",
    "requests": "requests",
    "prompt_tokens": "prompt tokens computed",
    "cached_tokens": "prompt tokens reused",
}
PANELS = {
    "panel": "its title",
    "unit": "as Grafana names it",
    "series": "by its legend",
    "time": "s before the last look",
    "value": "in that unit",
}
