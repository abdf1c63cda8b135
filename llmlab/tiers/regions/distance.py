"""Distances, by Toxiproxy: links between two places that are late, cut off, or torn.

Emulated: what comes back over a link is late by the whole round trip, so a request and its reply take it once. Not modelled: a TCP
connect takes no time (nor would a TLS handshake), and packets are neither lost nor reordered.
"""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path

import httpx

from ...errors import LabError
from ...serve.ports import free_port
from ...system.local_client import local_client
from ...system.owned import Process

WITHIN = 10


class Distances:
    """A Toxiproxy of our own, and the links in it by name. It ends with `close`.

    :raises LabError: when it does not start.
    """

    def __init__(self, line: tuple[str, ...], log: Path) -> None:
        port = free_port()
        self.process = Process(
            [*line, "-host", "127.0.0.1", "-port", str(port)], label="toxiproxy of a lab", log=log
        )
        self._http = local_client(timeout=10, base_url=f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + WITHIN
        while True:
            try:
                self._http.get("/version").raise_for_status()
                return
            except httpx.HTTPError as error:
                if self.process.wait(0.03) is not None or time.monotonic() > deadline:
                    self.close()
                    said = log.read_text(errors="replace").strip()[-300:]
                    raise LabError(f"Toxiproxy does not start: {said or error}") from error

    def link(self, name: str, to: int, *, rtt: float = 0, at: tuple[str, int] = ("127.0.0.1", 0)) -> int:
        """A link to a port of 127.0.0.1, `rtt` milliseconds long; the port on which it is entered.

        :raises LabError: when its own address is taken.
        """
        listen = f"{at[0]}:{at[1]}"
        made = self._http.post(
            "/proxies", json={"name": name, "listen": listen, "upstream": f"127.0.0.1:{to}"}
        )
        if made.status_code != 201:
            raise LabError(f"There is no link {name}: {made.text[:200]}", where=listen)
        if rtt:
            self._toxic(name, "distance", "latency", {"latency": round(rtt)})
        return int(made.json()["listen"].rpartition(":")[2])

    def late(self, name: str, ms: float) -> None:
        """What comes back over it is so much later than its distance, from now on; 0: no more."""
        self._gone(name, "late")
        if ms:
            self._toxic(name, "late", "latency", {"latency": round(ms)})

    def cut(self, name: str, *, cut: bool = True) -> None:
        """A partition: whoever sends over it hears nothing any more, connections stay open."""
        for stream in ("upstream", "downstream"):
            self._gone(name, f"cut-{stream}")
            if cut:
                self._toxic(name, f"cut-{stream}", "timeout", {"timeout": 0}, stream)

    def tear(self, name: str, *, torn: bool = True) -> None:
        """Connections over it are closed and new ones refused."""
        self._http.post(f"/proxies/{name}", json={"enabled": not torn}).raise_for_status()

    def remove(self, names: list[str]) -> None:
        """These links are no more."""
        for name in names:
            self._http.delete(f"/proxies/{name}")

    def _toxic(
        self, link: str, name: str, kind: str, attributes: dict[str, int], stream: str = "downstream"
    ) -> None:
        wanted = {"name": name, "type": kind, "stream": stream, "attributes": attributes}
        self._http.post(f"/proxies/{link}/toxics", json=wanted).raise_for_status()

    def _gone(self, link: str, name: str) -> None:
        self._http.delete(f"/proxies/{link}/toxics/{name}")

    def close(self) -> None:
        """End it; may be called twice."""
        self.process.kill()
        self._http.close()


def free_on(addresses: list[str], tries: int = 20) -> int:
    """A port that is free on each of these addresses.

    :raises LabError: when an address is not this machine's (macOS has only 127.0.0.1 until it is told), or none is free.
    """
    for _ in range(tries):
        port = free_port()
        if not any(_taken(address, port) for address in addresses):
            return port
    raise LabError("No port is free on all of " + ", ".join(addresses) + ".")


def _taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise LabError(
                    f"{address} is no address of this machine.", fix=f"sudo ifconfig lo0 alias {address}"
                ) from error
            return True
    return False
