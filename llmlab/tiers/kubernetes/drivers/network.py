"""Addresses of a local cluster and the one cable that joins it to the host."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....errors import Unavailable

#: The third of 10.0.0.0/8 that clusters choose from: a /16 each, so that several stand side by side.
RANGE = range(200, 250)
#: The bridge that leads nowhere, inside.
NOWHERE = "nowhere0"


@dataclass(frozen=True, slots=True)
class Network:
    """A /16 of its own: 10.N.0.0/24 for the cable, 10.N.64.0/18 for pods, 10.N.128.0/20 for Services."""

    number: int

    @property
    def cable(self) -> str:
        """The name of its end on the host."""
        return f"llmlab{self.number}"

    @property
    def host(self) -> str:
        """The host's address on it."""
        return f"10.{self.number}.0.1"

    @property
    def node(self) -> str:
        """The node's, where the API server listens too."""
        return f"10.{self.number}.0.2"

    @property
    def pods(self) -> str:
        """The pods' network."""
        return f"10.{self.number}.64.0/18"

    @property
    def services(self) -> str:
        """The Services' network; its first address is the API server, its tenth DNS."""
        return f"10.{self.number}.128.0/20"

    @property
    def api_service(self) -> str:
        """The Service `kubernetes`."""
        return f"10.{self.number}.128.1"

    @property
    def dns(self) -> str:
        """The Service `kube-dns`."""
        return f"10.{self.number}.128.10"

    def plug_in(self, pid: int, owner: str) -> None:
        """Join the network namespace of process `pid` to the host, for the cluster of that name.

        :raises Unavailable: with ip's words.
        """
        for _, *words in self.outside(str(pid), owner):
            _ip(*words)

    def outside(self, pid: str, owner: str) -> list[list[str]]:
        """The commands for that, on the host."""
        return [
            ["ip", "link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", pid],
            ["ip", "link", "set", "dev", self.cable, "alias", owner],
            ["ip", "address", "add", f"{self.host}/24", "dev", self.cable],
            ["ip", "link", "set", self.cable, "up"],
            *(
                ["ip", "route", "add", there, "via", self.node, "dev", self.cable]
                for there in (self.pods, self.services)
            ),
        ]

    def inside(self) -> list[list[str]]:
        """The same from inside, once the cable is there."""
        return [
            ["ip", "address", "add", f"{self.node}/24", "dev", "eth0"],
            ["ip", "link", "set", "eth0", "up"],
            ["ip", "route", "add", "default", "via", self.host],
            # for pods that may reach nothing: without an address of any kind, the node is not on it either
            ["ip", "link", "add", NOWHERE, "type", "bridge"],
            ["ip", "link", "set", NOWHERE, "addrgenmode", "none"],
            ["ip", "link", "set", NOWHERE, "up"],
        ]


@contextlib.contextmanager
def choosing() -> Iterator[Network]:
    """A network that nothing on this host routes to; nobody else on this machine chooses one meanwhile, whatever their state folder."""
    # Root's own folder, where there is one: in /tmp anybody could have put something under that name.
    folder = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path(tempfile.gettempdir())
    path = folder / "llmlab-network.lock"
    try:
        file = path.open("a")
    except PermissionError:  # another user's: to hold it, reading is enough
        file = path.open()
    with file as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _free()


def _free() -> Network:
    routes = json.loads(_ip("-j", "-4", "route", "show", "table", "all"))
    taken = []
    for route in routes:
        if route["dst"] != "default" and route.get("type") not in ("broadcast", "multicast"):
            taken.append(ipaddress.ip_network(route["dst"], strict=False))
    for number in RANGE:
        mine = ipaddress.ip_network(f"10.{number}.0.0/16")
        if not any(
            mine.overlaps(network) for network in taken if network.version == 4 and network.prefixlen > 0
        ):
            return Network(number)
    raise Unavailable(
        "No network from 10.200.0.0/16 to 10.249.0.0/16 is free.", fix="uv run llmlab clean; ip route"
    )


def unplug(cable: str, owner: str) -> None:
    """Remove a cluster's cable from the host; gone already is good as well.

    It goes with its namespace, and then the next cluster may have one of that name: that one stays.
    """
    done = subprocess.run(["ip", "-j", "link", "show", "dev", cable], capture_output=True, text=True)
    if done.returncode == 0 and json.loads(done.stdout)[0].get("ifalias") == owner:
        subprocess.run(["ip", "link", "delete", cable], capture_output=True)


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise Unavailable("There is no `ip` here.", fix="on Linux: sudo apt-get install iproute2") from None
    if done.returncode:
        raise Unavailable(
            f"ip {' '.join(words)}: {done.stderr.strip()}", fix="run as root, outside of a container"
        )
    return done.stdout
