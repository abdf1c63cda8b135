"""A network of one's own for each learner of a hub on one machine: their loopback is theirs, and only the hub reaches their server.

Standard library and `ip` only: it runs in the hub's environment, as root.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError

#: Where the hub's API listens: an address of the host that is on no wire.
HUB = "10.213.0.1"
#: How many learners can have a server at once: 10.213.0.0/16 in pieces of four addresses, the first one the hub's.
MOST = (1 << 14) - 1
_CABLE = "llmlab-h"


@dataclass(frozen=True, slots=True)
class LearnerNetwork:
    """One learner's network namespace and the two addresses of the cable between it and the host."""

    name: str  # of the namespace, as `ip netns` lists it
    number: int

    @property
    def path(self) -> Path:
        """The namespace as a file, for setns and for systemd's NetworkNamespacePath."""
        return Path("/run/netns") / self.name

    @property
    def cable(self) -> str:
        """The cable's end on the host."""
        return f"{_CABLE}{self.number}"

    @property
    def host(self) -> str:
        """The host's address on it."""
        return self._address(1)

    @property
    def inside(self) -> str:
        """The learner's address, on which their server listens."""
        return self._address(2)

    def _address(self, last: int) -> str:
        place = 4 * self.number + last
        return f"10.213.{place >> 8}.{place & 255}"


def namespace(learner: str) -> str:
    """The name of a learner's namespace; short and plain, whatever they are called."""
    return f"llmlab-hub-{hashlib.sha256(learner.encode()).hexdigest()[:12]}"


def hub_address() -> str:
    """Give the host the address on which its hub is asked; again is no harm.

    :raises LabError: with ip's words.
    """
    _ip("address", "replace", f"{HUB}/32", "dev", "lo")
    return HUB


def give(learner: str) -> LearnerNetwork:
    """Make a learner's network; what is left of an earlier one is removed.

    Inside there are loopback, the cable and the way to the hub. There is none to other learners, nor to the internet.

    :raises LabError: with ip's words, or when there are too many.
    """
    with _alone():
        _remove(namespace(learner))
        found = LearnerNetwork(namespace(learner), _free())
        _ip("netns", "add", found.name)
        try:
            _ip("link", "add", found.cable, "type", "veth", "peer", "name", "hub", "netns", found.name)
            _ip("link", "set", "dev", found.cable, "alias", found.name)
            _ip("address", "add", f"{found.host}/30", "dev", found.cable)
            _ip("link", "set", found.cable, "up")
            for words in (
                ("link", "set", "lo", "up"),
                ("address", "add", f"{found.inside}/30", "dev", "hub"),
                ("link", "set", "hub", "up"),
                ("route", "add", f"{HUB}/32", "via", found.host),
            ):
                _ip("-n", found.name, *words)
        except BaseException:
            _remove(found.name)
            raise
    return found


def take_down(learner: str) -> None:
    """Remove a learner's network; gone already is good as well."""
    with _alone():
        _remove(namespace(learner))


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else chooses a number meanwhile. In root's own folder: elsewhere anybody could hold the lock."""
    with Path("/run/llmlab-hub.lock").open("a") as lock:
        os.chmod(lock.name, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _cables() -> dict[str, str]:
    """The cables there are, and whose they are."""
    links = json.loads(_ip("-j", "link", "show"))
    return {link["ifname"]: link.get("ifalias", "") for link in links if link["ifname"].startswith(_CABLE)}


def _free() -> int:
    taken = {int(cable.removeprefix(_CABLE)) for cable in _cables()}
    number = next((number for number in range(1, MOST + 1) if number not in taken), None)
    if number is None:
        raise LabError(f"{MOST} learners have a server here: there is no network left for another.")
    return number


def _remove(name: str) -> None:
    if Path("/run/netns", name).exists():
        _ip("netns", "delete", name)
    for cable, owner in _cables().items():
        if owner == name:  # the namespace lives on while a process is in it
            subprocess.run(["ip", "link", "delete", cable], capture_output=True)


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
    except FileNotFoundError:
        raise LabError("There is no `ip` here.", fix="sudo apt-get install iproute2") from None
    if done.returncode:
        raise LabError(f"ip {' '.join(words)}: {done.stderr.strip()}", fix="run the hub as root")
    return done.stdout
