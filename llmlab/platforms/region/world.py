"""Three regions with a real llama-server in each, and the internet between them and an edge: it notes what reached whom."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ...errors import LabError
from ...scratch import Scratch
from ...serve import Server, Spec
from ...serve.ports import free_port
from . import workerd
from .edge import Runtime

GIVEN = Path(__file__).with_name("given")
HOSTS = {
    "us": "us-east.llama.example.com",
    "eu": "eu-west.llama.example.com",
    "asia": "asia-east.llama.example.com",
}
MODEL, SLOTS = "20m", 2


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it reached a region."""

    region: str
    method: str
    path: str
    headers: dict[str, str]
    body: str


class World:
    """The regions, up. Each can be killed, hung and restored. It ends with its context, and with the process that made it.

    :raises LabError: when a server or the runtime does not start.
    """

    def __init__(self, *, say: Callable[[str], None] = lambda _: None) -> None:
        self.key = "sk-origin-" + secrets.token_hex(8)
        self._scratch = Scratch("a world of regions")
        self.folder = self._scratch.path
        self.servers: dict[str, Server] = {}
        self.hung: set[str] = set()
        self._stack = contextlib.ExitStack()
        try:
            ports = {name: free_port() for name in HOSTS}
            for one in GIVEN.iterdir():
                shutil.copy(one, self.folder / one.name)
            (self.folder / "hosts.json").write_text(json.dumps({host: name for name, host in HOSTS.items()}))
            addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
            (self.folder / "addresses.json").write_text(json.dumps(addresses))
            for name, port in ports.items():
                say(f"region {name}")
                flags = {"ctx-size": 8192, "parallel": SLOTS, "threads": 1}
                spec = Spec(model=MODEL, flags=flags, env={"LLAMA_API_KEY": self.key}, folder=self.folder)
                self.servers[name] = self._stack.enter_context(Server(spec, port=port))
            workerd.bring(say)
            say("the internet between them")
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

    # -- what reached them -----------------------------------------------------------------------------

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
            found = [self._read(one) for one in lines if one.startswith('{"region"') and one.endswith("}")]
            if len(found) >= least or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def _read(self, line: str) -> Seen:
        one = json.loads(line)
        return Seen(one["region"], one["method"], one["path"], dict(one["headers"]), one["body"])

    # -- how they fail ---------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """The region's server is gone at once, with whatever was in its slots."""
        server = self.servers[name]
        if server.pid:
            os.kill(server.pid, signal.SIGKILL)
        server.stop()

    def hang(self, name: str) -> None:
        """It still takes connections and answers nothing more: SIGSTOP."""
        pid = self.servers[name].pid
        if pid:
            os.kill(pid, signal.SIGSTOP)
            self.hung.add(name)

    def restore(self, *names: str) -> None:
        """As before: what hangs goes on, what was killed is started again. Without names: everywhere.

        :raises LabError: when a server does not start.
        """
        for name in names or HOSTS:
            server = self.servers[name]
            if name in self.hung:
                self.hung.discard(name)
                if server.pid:
                    os.kill(server.pid, signal.SIGCONT)
            if not server.running:
                server.start()

    def idle(self, within: float = 30) -> None:
        """Wait until no server works on anything.

        :raises LabError: when one still does.
        """
        deadline = time.monotonic() + within
        while any(
            any(slot["is_processing"] for slot in one.slots()) for one in self.servers.values() if one.running
        ):
            if time.monotonic() > deadline:
                raise LabError(f"A region still works on something after {within:.0f} s.")
            time.sleep(0.05)

    def close(self) -> None:
        """End all of it; may be called twice."""
        for name in list(self.hung):
            with contextlib.suppress(OSError):
                self.restore(name)
        self._stack.close()
        self._scratch.close()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
