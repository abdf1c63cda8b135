"""The edge's world: three regions, and the internet between them and an edge. It has names, no distances, and notes what reached whom."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...serve.ports import free_port
from ..regions.servers import Regions
from . import visitor, workerd
from .worker import Runtime

GIVEN = Path(__file__).with_name("given")
#: Region → the name under which its servers answer.
HOSTS = {
    "us": "us-east.llama.example.com",
    "eu": "eu-west.llama.example.com",
    "asia": "asia-east.llama.example.com",
}
SLOTS = 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it reached a region."""

    region: str  # that it reached
    method: str  # GET or POST
    path: str  # of its URL
    headers: dict[str, str]  # by name, in small letters
    body: str  # its text


class World(Regions):
    """The regions, up. Each can be killed, hung and restored.

    :raises LabError: when a server or the runtime does not start.
    """

    def __init__(self, *, say: Callable[[str], None] = lambda _: None) -> None:
        super().__init__("a world of regions")
        try:
            ports = {name: free_port() for name in HOSTS}
            for path in GIVEN.iterdir():
                shutil.copy(path, self.folder / path.name)
            (self.folder / "hosts.json").write_text(json.dumps({host: name for name, host in HOSTS.items()}))
            fetched = {"added": visitor.FETCHED, "removed": visitor.REMOVED}
            (self.folder / "fetched.json").write_text(json.dumps(fetched))
            addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            (self.folder / "addresses.json").write_text(json.dumps(addresses))
            for name, port in ports.items():
                say(f"region {name}")
                self._serve(name, port, SLOTS)
            workerd.bring(say)
            say("the internet between them")
            #: The way from a worker to the regions, and from a client to a region itself.
            self.internet: Runtime = self._stack.enter_context(
                Runtime(self.folder / "world.capnp", self.folder / "world.log", label="the internet of a lab")
            )
        except BaseException:
            self.close()
            raise

    @property
    def port(self) -> int:
        """Where the internet takes requests for the origins, as a proxy does."""
        return self.internet.port

    def mark(self) -> int:
        """Now: what `seen` counts from."""
        return self.internet.log.stat().st_size

    def seen(self, since: int, *, least: int = 0, within: float = 3) -> list[Seen]:
        """What reached the regions since a mark; waits until there are so many, or the time is over."""
        deadline = time.monotonic() + within
        while True:
            with self.internet.log.open("rb") as log:
                log.seek(since)
                lines = log.read().decode(errors="replace").splitlines()
            found = [
                self._read(line) for line in lines if line.startswith('{"region"') and line.endswith("}")
            ]
            if len(found) >= least or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def _read(self, line: str) -> Seen:
        record = json.loads(line)
        return Seen(
            record["region"], record["method"], record["path"], dict(record["headers"]), record["body"]
        )
