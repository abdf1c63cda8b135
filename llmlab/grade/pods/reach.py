"""What a pod can reach besides its own loopback: tried before anything of a learner's runs, and said in its result."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

#: The address of the pod's node, as its manifest asks for it.
NODE = "LLMLAB_NODE"
KUBELET = 10250
WITHIN = 1.0  # seconds for a connection
AGAIN = 0.2  # seconds between two tries
SETTLES = 8.0  # seconds until a policy holds a pod that has just been made


class PodReach(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was tried, and what of it answered."""

    way_out: bool  # it has a route to somewhere else
    tried: list[str]  # host:port
    reached: list[str]  # of these

    @property
    def closed(self) -> bool:
        """Whether nothing is reached."""
        return not self.reached

    @property
    def line(self) -> str:
        """In words, for the result."""
        if self.reached:
            return f"the network is NOT separated: {', '.join(self.reached)} answered"
        if not self.way_out:
            return "a network of its own without a way out"
        return f"a NetworkPolicy that is enforced ({', '.join(self.tried)} did not answer)"


def reach(within: float = SETTLES) -> PodReach:
    """Try the API server, the node and the name server, which any pod reaches unless something holds it off.

    :param within: seconds in which what answered at first may stop to, because a policy takes its time.
    """
    deadline = time.monotonic() + within
    pause = threading.Event()
    while True:
        found = _tried()
        if found.closed or time.monotonic() >= deadline:
            return found
        pause.wait(AGAIN)


def _tried() -> PodReach:
    targets = _targets()
    reached = _answering(targets)
    names = [f"{host}:{port}" for host, port in targets]
    return PodReach(way_out=has_route(), tried=names, reached=[name for name in names if name in reached])


def _targets() -> list[tuple[str, int]]:
    found = []
    with suppress(KeyError, ValueError):
        found.append(
            (os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ.get("KUBERNETES_SERVICE_PORT", "443")))
        )
    if node := os.environ.get(NODE):
        found.append((node, KUBELET))
    with suppress(OSError):
        for line in Path("/etc/resolv.conf").read_text().splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                found.append((words[1], 53))
    return list(dict.fromkeys(found))


def has_route(tables: Sequence[Path] = (Path("/proc/net/route"), Path("/proc/net/ipv6_route"))) -> bool:
    """Whether the kernel knows a gateway to anywhere."""
    for table in tables:
        with suppress(OSError):
            for line in table.read_text().splitlines():
                words = line.split()
                gateway = words[2] if table.name == "route" else words[4]
                device = words[0] if table.name == "route" else words[-1]
                if device != "lo" and gateway.strip("0") and gateway != "Gateway":
                    return True
    return False


def _answering(targets: Sequence[tuple[str, int]]) -> set[str]:
    """Those that take a TCP connection, or refuse one: either came from outside."""
    waiting: dict[int, tuple[socket.socket, str]] = {}
    answered = set()
    for host, port in targets:
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        try:
            made.connect((host, port))
        except BlockingIOError:
            pass
        except OSError:  # no route, or no right to try
            made.close()
            continue
        waiting[made.fileno()] = made, f"{host}:{port}"
    deadline = time.monotonic() + WITHIN
    poll = select.poll()
    for handle in waiting:
        poll.register(handle, select.POLLOUT)
    while waiting and (left := deadline - time.monotonic()) > 0:
        for handle, _ in poll.poll(left * 1000):
            poll.unregister(handle)
            made, name = waiting.pop(handle)
            if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in (0, errno.ECONNREFUSED):
                answered.add(name)
            made.close()
    for made, _ in waiting.values():
        made.close()
    return answered
