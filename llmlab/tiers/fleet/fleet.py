"""The servers of a plan and the door before them, up on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ...capacity.plan import HERE, ServicePlan
from ...capacity.written_door import NAME, WrittenDoor
from ...load import Target
from ...serve import Server, Spec
from ...serve.ports import free_port
from ...system.waiting import wait
from ..regions import programs
from ..regions.proxies import Proxy, vet
from ..regions.servers import MODEL, Regions
from .door import config


def one_server(slots: int, folder: Path) -> Server:
    """A server of the fleet's kind by itself, to be entered."""
    flags = {"ctx-size": 4096 * slots, "parallel": slots, "threads": 1}
    return Server(Spec(model=MODEL, flags=flags, folder=folder), port=0)


class PlannedFleet(Regions):
    """The tier `here` of a plan. Each server can be killed, hung and restored.

    :raises LabError: when a program is missing, a server does not start, or HAProxy refuses the door.
    """

    def __init__(self, plan: ServicePlan, *, say: Callable[[str], None] = lambda _: None) -> None:
        tier = plan.tier[HERE]
        mine = isinstance(plan.door, WrittenDoor)
        config(plan.door, tier.slots, {})  # what it refuses is said before anything starts
        line = programs.haproxy()
        super().__init__("a fleet")
        self.plan = plan  # that it was made from
        self.slots = tier.slots  # of each server
        self.port = free_port()  # of 127.0.0.1, where the door listens
        try:
            ports = {f"s{number}": free_port() for number in range(1, tier.servers[0] + 1)}
            env = {"BIND": f"127.0.0.1:{self.port}", "SLOTS": str(tier.slots)}
            env |= {name.upper(): f"127.0.0.1:{port}" for name, port in ports.items()}
            path = self.folder / (NAME if mine else "door.cfg")
            path.write_text(config(plan.door, tier.slots, ports), encoding="utf-8")
            if mine:
                say(f"what HAProxy says of {NAME}")
                vet(line, path, env, self.folder / "vet.log")
            for name, port in ports.items():
                say(f"server {name.removeprefix('s')} of {len(ports)}")
                self._serve(name, port, tier.slots)
            say("the door")
            #: HAProxy before the servers.
            self.door: Proxy = Proxy(
                line,
                path,
                opens=self.port,
                log=self.folder / "door.log",
                env=env,
                label="the door of a fleet",
                handed_in=mine,
            )
            self._stack.callback(self.door.close)
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Where clients ask."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> Target:
        """What a load needs to know of the door; the servers are alike."""
        first = next(iter(self.servers.values()))
        return Target(url=self.url, api_key=self.key, info=first.info(), model=first.model.name)

    def ready(self, within: float | None = None, *, lost: int = 0) -> None:
        """Wait until the door takes every server for up; all but `lost`, which it has to have noticed.

        :param within: seconds; None: the checks that it takes, and ten.
        :raises LabError: when it holds one for down all that time, with its reason.
        """
        checks = (2 + 2 * self.plan.door.fall) * self.plan.door.check_s
        wait(
            "the door to take every server for up"
            if not lost
            else f"the door to leave out {lost} of its servers",
            lambda: len(self.door.said()) == lost,
            10 + 2 * checks if within is None else within,
            trouble=self.door.said,
        )
