"""A real llama-server in each region, and how it fails and comes back: what the edge's world and the globe have in common."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Self

import psutil

from ...errors import LabError
from ...load.long_stream import bursts
from ...serve import Server, Spec
from ...system.lease import held_back
from ...system.scratch import Scratch
from ...system.waiting import wait

MODEL = "20m"


def _halted(pid: int) -> bool:
    return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)


class Regions:
    """Servers by region, a folder, and a stack of what else was started. It ends with its context, and with the process that made it."""

    def __init__(self, label: str) -> None:
        self.key = "sk-origin-" + secrets.token_hex(8)
        self._scratch = Scratch(label)
        self.folder = self._scratch.path
        self.servers: dict[str, Server] = {}
        self.hung: set[str] = set()
        self._stack = contextlib.ExitStack()
        #: Told of every incident: the region, and whether it was `killed`, `hung` or is `back`.
        self.told: Callable[[str, str], None] = lambda name, how: None

    def _serve(self, name: str, port: int, slots: int) -> None:
        flags = {"ctx-size": 4096 * slots, "parallel": slots, "threads": 1}
        spec = Spec(model=MODEL, flags=flags, env={"LLAMA_API_KEY": self.key}, folder=self.folder)
        self.servers[name] = self._stack.enter_context(Server(spec, port=port))

    def kill(self, name: str) -> None:
        """The region's server is gone at once, with whatever was in its slots."""
        server = self.servers[name]
        if server.pid:
            os.kill(server.pid, signal.SIGKILL)
        server.stop()
        self.told(name, "killed")

    def _pids(self, name: str) -> list[int]:
        pid = self.servers[name].pid
        return [pid] if pid else []

    def hang(self, name: str) -> None:
        """It still takes connections and answers nothing more: SIGSTOP."""
        for pid in self._pids(name):
            os.kill(pid, signal.SIGSTOP)
            # The signal is on its way only: on a busy machine one more reply may come before it is there.
            wait(f"the halt of {name}'s server", functools.partial(_halted, pid), 5)
        self.hung.add(name)
        self.told(name, "hung")

    def halting(self, name: str, going: float = 0.05, stopped: float = 0.35) -> AbstractContextManager[None]:
        """It goes on in short bursts of so many seconds: how a long reply looks, without a long computation."""
        pids = self._pids(name)

        def tell(number: int) -> None:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        return bursts(
            lambda: tell(signal.SIGSTOP), lambda: tell(signal.SIGCONT), going=going, stopped=stopped
        )

    @contextlib.contextmanager
    def loading(self, name: str) -> Iterator[bool]:
        """A server that was killed starts, and loads its model until the context ends: it answers 503 so long.

        Yields whether this system can do that (`lease.held_back`); where it cannot, the server starts at the end.

        :raises LabError: when the server does not start.
        """
        server = self.servers[name]
        own = self.folder / f"{name}.gguf"  # the one in the cache is in use elsewhere
        shutil.copyfile(server.model.path, own)
        shared, server.model = server.model, replace(server.model, path=own)
        with ThreadPoolExecutor(1) as starter:
            try:
                with held_back(own) as held:
                    if held:
                        starting = starter.submit(server.start)
                        wait("the server to listen", lambda: server.health() == 503, 20)
                    yield held
                if held:
                    starting.result()
            finally:
                server.model = shared
        self.restore(name)

    def restore(self, *names: str) -> None:
        """As before: what hangs goes on, what was killed is started again. Without names: everywhere.

        :raises LabError: when a server does not start.
        """
        for name in names or self.servers:
            gone = name in self.hung or not self.servers[name].running
            if name in self.hung:
                self.hung.discard(name)
                for pid in self._pids(name):
                    os.kill(pid, signal.SIGCONT)
            if not self.servers[name].running:
                self.servers[name].start()
            if gone:
                self.told(name, "back")

    def idle(self, within: float = 30) -> None:
        """Wait until no server works on anything.

        :raises LabError: when one still does.
        """
        deadline = time.monotonic() + within
        while any(
            any(slot["is_processing"] for slot in server.slots())
            for server in self.servers.values()
            if server.running
        ):
            if time.monotonic() > deadline:
                raise LabError(f"A region still works on something after {within:.0f} s.")
            time.sleep(0.05)

    def close(self) -> None:
        """End all of it; may be called twice."""
        for name in list(self.hung):
            with contextlib.suppress(OSError, LabError):
                Regions.restore(self, name)
        self._stack.close()
        self._scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
