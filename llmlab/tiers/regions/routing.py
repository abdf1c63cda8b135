"""One routing of users to the regions of a globe: a zone in PowerDNS, HAProxy at every region's entry, and their numbers."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ...errors import LabError
from ...serve.ports import free_port
from . import numbers
from .distance import free_on
from .globe import Globe
from .nameserver import ZONE, NameServer
from .proxies import Proxy

ZONE_FILE, PROXY_FILE = "llama.zone", "haproxy-global.cfg"
FILES = (numbers.NAME, ZONE_FILE, PROXY_FILE)
RESIDENTS = f"eu.{ZONE}"
HUB = "us"  # from where the name server asks
_COUNT = itertools.count(1)


class Routing:
    """The three files of a folder, in force. It ends with its context, or with the globe.

    :raises LabError: naming file and line of what its tool does not take, in the tool's words.
    """

    def __init__(self, globe: Globe, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> None:
        self.globe = globe
        self.tag = f"r{next(_COUNT)}"  # its name among all of a globe's
        self.links: list[str] = []  # its ways among the distances
        self.entries: dict[str, Proxy] = {}  # region → the proxy at its entry
        self.way: dict[tuple[str, str], int] = {}  # (users, address) → the port on which their way begins
        self._stack = contextlib.ExitStack()
        texts = {}
        for name in FILES:
            if not (folder / name).is_file():
                raise LabError(f"There is no {name}.", fix="llmlab reset")
            texts[name] = (folder / name).read_text(encoding="utf-8", errors="replace")
        self.numbers = numbers.read(folder / numbers.NAME)  # what regions.yaml says
        self.port = free_on([place.address for place in globe.places.values()])  # of every entry
        try:
            say("proxies at the entries")
            self._enter(texts[PROXY_FILE])
            say("the name server")
            names = {**self.numbers.names, "PORT": str(self.port)}
            home = globe.folder / f"{self.tag}-pdns"
            home.mkdir()
            zone = numbers.fill(texts[ZONE_FILE], names, ZONE_FILE)
            #: The name server with the learner's zone.
            self.names = NameServer(
                globe.programs.pdns,
                zone,
                file=ZONE_FILE,
                interval=self.numbers.interval,
                folder=home,
                users=globe.users.values(),
            )
            self._stack.callback(self.names.close)
            globe.routings.append(self)
            say("health checks")
            self._warm()
        except BaseException:
            self.close()
            raise

    def _enter(self, config: str) -> None:
        globe = self.globe
        home = globe.folder / self.tag
        home.mkdir()
        (home / PROXY_FILE).write_text(config, encoding="utf-8")
        binds = {name: free_port() for name in globe.places}
        for here, place in globe.places.items():
            ways = {
                there: self._link(f"{here}>{there}", globe.regional[there].opens, place.rtt(other))
                for there, other in globe.places.items()
            }
            env = self._environment(here, ways, binds[here])
            self.entries[here] = Proxy(
                globe.programs.haproxy,
                home / PROXY_FILE,
                opens=binds[here],
                log=home / f"{here}.log",
                env=env,
                label=f"HAProxy at the entry of {here}",
                handed_in=True,
            )
            self._stack.callback(self.entries[here].close)
            self._link(
                f"hub>{here}", binds[here], globe.places[HUB].rtt(place), at=(place.address, self.port)
            )
            for users, at in globe.users.items():
                port = self._link(f"{users}>{here}", binds[here], at.rtt(place))
                self.way[users, place.address] = port

    def _environment(self, here: str, ways: dict[str, int], bind: int) -> dict[str, str]:
        """What the proxies' file may name: who is where, near ones first, and the numbers."""
        place = self.globe.places[here]
        near = sorted(ways, key=lambda there: place.rtt(self.globe.places[there]))
        address = {there: f"127.0.0.1:{port}" for there, port in ways.items()}
        order = dict(zip(("LOCAL", "NEXT", "LAST"), (address[there] for there in near), strict=True))
        named = {there.upper(): address[there] for there in ways}
        return {"BIND": f"127.0.0.1:{bind}", "REGION": here, **order, **named, **self.numbers.names}

    def _link(self, name: str, to: int, rtt: float, at: tuple[str, int] = ("127.0.0.1", 0)) -> int:
        name = f"{self.tag} {name}"
        port = self.globe.distances.link(name, to, rtt=rtt, at=at)
        self.links.append(name)
        return port

    def name(self, users: str) -> str:
        """The name that they ask for."""
        return RESIDENTS if users == "residents" else ZONE

    def _warm(self) -> None:
        """PowerDNS checks what it was asked about, so it is asked; then wait until it holds all regions for up, at most 4 s.

        :raises LabError: when a name has no answer at all.
        """
        for users, place in self.globe.users.items():
            answer = self.names.ask(self.name(users), place.network)
            if answer.rcode != "NOERROR" or not answer.addresses:
                raise self._no_answer(self.name(users), answer.rcode)
        deadline = time.monotonic() + self.numbers.interval + self.numbers.timeout + 0.5
        deadline = min(deadline, time.monotonic() + 4)
        while time.monotonic() < deadline and not self._settled():
            time.sleep(0.05)

    def _no_answer(self, name: str, rcode: str) -> LabError:
        said = "\n".join(self.names.said())
        label = name.removesuffix(f".{ZONE}").replace(ZONE, "@")
        lines = (self.names.log.parent / "zone").read_text(encoding="utf-8").splitlines()
        own = (label, name, f"{name}.")
        line = next(
            (n for n, record in enumerate(lines, 1) if record.split() and record.split()[0] in own), None
        )
        what = rcode if rcode != "NOERROR" else "no address"
        return LabError(
            f"{name} has no answer: {what}." + (f"\n{said}" if said else ""),
            where=f"{ZONE_FILE}:{line}" if line else ZONE_FILE,
        )

    def _settled(self) -> bool:
        said = self.names.log.read_text(errors="replace")
        return all(f"declaring {place.address} UP" in said for place in self.globe.places.values())

    def answers(self) -> list[tuple[str, str, tuple[str, ...], int, str]]:
        """For users of each kind: the name they ask for, the regions of the answer, how long it may be kept, the response code."""
        by = {region.address: name for name, region in self.globe.places.items()}
        rows = []
        for users, place in self.globe.users.items():
            answer = self.names.ask(self.name(users), place.network)
            regions = tuple(by.get(address, address) for address in answer.addresses)
            rows.append((users, self.name(users), regions, answer.ttl, answer.rcode))
        return rows

    def said(self) -> list[str]:
        """What the name server and the proxies wrote of failing checks and records."""
        lines = [f"PowerDNS: {line}" for line in self.names.said()]
        for region, entry in self.entries.items():
            lines += [f"HAProxy at {region}: {line}" for line in entry.said()]
        return lines

    def close(self) -> None:
        """End it; may be called twice."""
        with contextlib.suppress(ValueError):
            self.globe.routings.remove(self)
        self._stack.close()
        self.globe.distances.remove(self.links)
        self.links.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
