"""The world: three regions with a proxy and a llama-server each, and distances. Routings lead users to them; regions fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from ...serve.ports import free_port
from . import places, programs
from .distance import Distances
from .proxies import REGIONAL, Proxy
from .servers import Regions

SLOTS = 4
#: What a reply takes at least: it holds one of a region's slots for so long, whatever this machine's cores do meanwhile.
PACE_MS = 120


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as a region's own proxy noted it: whose, for which name, how many bytes in and out, when (s since the epoch)."""

    region: str
    host: str
    user: str
    path: str
    status: int
    bytes_in: int
    bytes_out: int
    at: float


class Routed(Protocol):
    """What leads users to the regions, as far as it goes down with one (`routing.Routing`)."""

    entries: dict[str, Proxy]
    links: list[str]

    def close(self) -> None:
        """End it."""


class Globe(Regions):
    """The regions, up, and nobody routed to them yet: that is what a `Routing` does.

    :param draw: what users' cities and networks are drawn from; None: the usual ones.
    :raises LabError: when a server or a proxy does not start.
    """

    def __init__(self, *, draw: Random | None = None, say: Callable[[str], None] = lambda _: None) -> None:
        super().__init__("a globe of regions")
        self.places = places.regions()  # region → where it is
        self.users = places.users(draw)  # kind of users → where they are
        self.routings: list[Routed] = []  # what is in force there
        self.regional: dict[str, Proxy] = {}  # region → the proxy before its server
        self._cut: set[str] = set()
        try:
            self.programs = programs.bring(say)  # what runs there
            say("distances")
            #: What makes a way as long as it is.
            self.distances = Distances(self.programs.toxiproxy, self.folder / "toxiproxy.log")
            self._stack.callback(self.distances.close)
            for name in self.places:
                say(f"region {name}")
                port = free_port()
                self._serve(name, port, SLOTS)
                server = self.distances.link(f"server {name}", port, rtt=PACE_MS)
                self._front(name, server)
        except BaseException:
            self.close()
            raise

    def _front(self, name: str, server: int) -> None:
        port = free_port()
        env = {"PORT": str(port), "KEY": self.key, "REGION": name, "SERVER": str(server), "SLOTS": str(SLOTS)}
        log = self.folder / f"{name}.log"
        label = f"HAProxy of region {name}"
        proxy = Proxy(self.programs.haproxy, REGIONAL, opens=port, log=log, env=env, label=label)
        self.regional[name] = proxy
        self._stack.callback(proxy.close)

    # -- what reached them -----------------------------------------------------------------------------

    def mark(self) -> dict[str, int]:
        """Now: what `arrived` counts from."""
        return {name: proxy.log.stat().st_size for name, proxy in self.regional.items()}

    def arrived(self, since: dict[str, int]) -> list[Arrived]:
        """What reached the regions' own proxies and was answered there since a mark, health checks left out; by time."""
        found = []
        for name, proxy in self.regional.items():
            with proxy.log.open("rb") as log:
                log.seek(since.get(name, 0))
                lines = log.read().decode(errors="replace").splitlines()
            for line in lines:
                if line.startswith('{"region"') and line.endswith("}"):
                    record = json.loads(line)
                    if record["path"] != "/health":
                        found.append(
                            Arrived(
                                record["region"], record["host"], record["user"], record["path"], record["status"],
                                record["in"], record["out"], record["at"] / 1000,
                            )
                        )  # fmt: skip
        return sorted(found, key=lambda request: request.at)

    # -- how they fail ---------------------------------------------------------------------------------

    def _own(self, name: str) -> list[Proxy]:
        return [self.regional[name], *(routing.entries[name] for routing in self.routings)]

    def _pids(self, name: str) -> list[int]:
        return super()._pids(name) + [process.pid for process in self._own(name) if process.pid]

    def _links(self, name: str) -> list[str]:
        """All ways from elsewhere to a region, and from it to elsewhere; what is inside it stays whole."""
        ends = {link: link.split(" ")[1].split(">") for routing in self.routings for link in routing.links}
        return [link for link, (here, there) in ends.items() if (here == name) != (there == name)]

    def kill(self, name: str) -> None:
        """The whole region is gone at once: its entries, its proxy, its server."""
        for process in self._own(name):
            process.close()
        super().kill(name)

    def kill_servers(self, name: str) -> None:
        """Its server is gone, its entries still stand."""
        super().kill(name)

    def cut(self, name: str) -> None:
        """A partition: nothing reaches it and nothing comes back, and nobody is told."""
        for link in self._links(name):
            self.distances.cut(link)
        self._cut.add(name)

    def slow(self, name: str, seconds: float) -> None:
        """Alive, and every reply of its server comes so much later: also the one to a health check."""
        self.distances.late(f"server {name}", 1000 * seconds)

    def pace(self, ms: float = 0) -> None:
        """Replies everywhere take so much longer than they do anyway, as longer ones would; 0: no longer."""
        for name in self.servers:
            self.distances.late(f"server {name}", ms)

    def tear(self, name: str, *, torn: bool = True) -> None:
        """Its server refuses connections, and takes them again: what a region that flaps does in turn."""
        self.distances.tear(f"server {name}", torn=torn)

    def restore(self, *names: str) -> None:
        """As before, whatever had become of it. Without names: everywhere.

        :raises LabError: when something does not start.
        """
        super().restore(*names)
        for name in names or self.servers:
            self.slow(name, 0)
            self.tear(name, torn=False)
            for process in self._own(name):
                process.start()
            if name in self._cut:
                self._cut.discard(name)
                for link in self._links(name):
                    self.distances.cut(link, cut=False)

    def close(self) -> None:
        """End all of it; may be called twice."""
        for routing in list(self.routings):
            routing.close()
        super().close()
