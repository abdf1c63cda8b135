"""PowerDNS with one zone, health checks in its LUA records and a GeoIP file: the learner's global DNS, on a port of 127.0.0.1."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

from ...errors import LabError
from ...system.owned import Process
from . import places

ZONE = "llama.example.com"
WITHIN = 10
_ERROR = re.compile(
    r"\[bindbackend\] error at .*? parsing '[^']*' from file '[^']*': (.*?)(?:, stopping loop)?$", re.M
)
_CONF = """\
launch=bind,geoip
bind-config={folder}/named.conf
geoip-database-files=mmdb:{folder}/geo.mmdb
geoip-zones-file={folder}/none.yaml
enable-lua-records=yes
edns-subnet-processing=yes
lua-health-checks-interval={interval}
lua-records-exec-limit=100000
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
zone-cache-refresh-interval=0
local-address=127.0.0.1
local-port={port}
socket-dir={folder}
security-poll-suffix=
daemon=no
guardian=no
disable-syslog=yes
loglevel=6
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a name is: addresses, how many seconds a resolver may keep them, the response code."""

    addresses: tuple[str, ...]
    ttl: int
    rcode: str


class NameServer:
    """It ends with `close`. A name is asked for as a resolver does, with the network of the user (RFC 7871).

    `users`: of whose networks it knows the place.

    :raises LabError: when it does not take the zone, in its own words, with the line.
    """

    def __init__(
        self,
        line: tuple[str, ...],
        zone: str,
        *,
        file: str,
        interval: int,
        folder: Path,
        users: Iterable[places.Place],
    ) -> None:
        self.file = file
        self.log = folder / "pdns.log"
        self.port = free_udp()
        (folder / "zone").write_text(zone if zone.endswith("\n") else zone + "\n", encoding="utf-8")
        (folder / "named.conf").write_text(f'zone "{ZONE}" {{ type master; file "{folder}/zone"; }};\n')
        (folder / "none.yaml").write_text("")
        places.write_geoip(folder / "geo.mmdb", [*places.regions().values(), *users])
        (folder / "pdns.conf").write_text(_CONF.format(folder=folder, interval=interval, port=self.port))
        self.process = Process(
            [*line, f"--config-dir={folder}"],
            label="PowerDNS of a lab",
            log=self.log,
            cwd=folder,
            handed_in=[folder],
        )
        try:
            self._wait(zone)
        except BaseException:
            self.close()
            raise

    def _wait(self, zone: str) -> None:
        deadline = time.monotonic() + WITHIN
        while True:
            said = self.log.read_text(errors="replace") if self.log.exists() else ""
            refused = _ERROR.search(said)
            if refused:
                raise self._refused(refused[1], zone)
            if "Done launching threads" in said:
                break
            if self.process.wait(0.03) is not None or time.monotonic() > deadline:
                raise LabError(f"PowerDNS does not start:\n{said.strip()[-600:]}", where=self.file)
        answer = self.ask(ZONE, "127.0.0.0/24", kind="SOA")
        if answer.rcode != "NOERROR":
            raise LabError(f"PowerDNS has no zone {ZONE}: {answer.rcode}.", where=self.file)

    def _refused(self, said: str, zone: str) -> LabError:
        found = re.search(r"on line (\d+)", said)
        said = re.sub(r" of file '[^']*'", "", said)
        line = int(found[1]) if found else zone.count("\n") or 1
        return LabError(f"PowerDNS does not take the zone: {said}", where=f"{self.file}:{line}")

    def query(self, name: str, network: str, kind: str = "A") -> dns.message.Message:
        """The question of a resolver that passes on its user's network."""
        address, _, bits = network.partition("/")
        subnet = dns.edns.ECSOption(address, int(bits or 24))
        asked = dns.message.make_query(name, kind, use_edns=0, options=[subnet])
        asked.flags &= ~dns.flags.RD
        return asked

    @staticmethod
    def read(reply: dns.message.Message) -> Answer:
        """The addresses of a reply."""
        sets = [rrset for rrset in reply.answer if rrset.rdtype == dns.rdatatype.A]
        found = tuple(str(item.address) for rrset in sets for item in rrset)
        ttl = min((int(rrset.ttl) for rrset in sets), default=0)
        return Answer(found, ttl, dns.rcode.to_text(reply.rcode()))

    def ask(self, name: str, network: str, kind: str = "A", *, timeout: float = 2) -> Answer:
        """Ask it; a name server that does not answer is TIMEOUT."""
        try:
            return self.read(dns.query.udp(self.query(name, network, kind), "127.0.0.1", timeout, self.port))
        except (dns.exception.Timeout, OSError):
            return Answer((), 0, "TIMEOUT")

    def said(self) -> list[str]:
        """What a record complained of, and which addresses its health checks hold for down now."""
        complaints: dict[str, str] = {}
        down: dict[str, str] = {}
        for line in self.log.read_text(errors="replace").splitlines():
            if found := re.search(r"Lua record \((.*?)\) .*", line):
                complaints[found[1]] = found[0][:300]
            elif found := re.search(r"unknown selector '(.*?)'", line):
                complaints[found[1]] = f"{found[0]}: it answers at random"[:300]
            elif found := re.search(r"declaring (\S+) (UP|DOWN) for URL (\S+?)[,!].*", line):
                down.pop(found[1], None)
                if found[2] == "DOWN":
                    down[found[1]] = found[0].removeprefix("declaring ")[:300]
        return [*complaints.values(), *down.values()][-6:]

    def close(self) -> None:
        """End it; may be called twice."""
        self.process.kill()


def free_udp() -> int:
    """A port of 127.0.0.1 that is free for UDP and TCP."""
    while True:
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
            stream.bind(("127.0.0.1", 0))
            port = int(stream.getsockname()[1])
            try:
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
