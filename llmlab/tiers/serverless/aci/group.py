"""A container group as Azure Container Instances would run it, on Docker: `emulated`. One instance, one address, no mapping of ports."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ....errors import LabError
from ....say import Say, quiet
from ....system.scratch import Scratch
from ....system.waiting import wait
from ..group import Group
from . import admission, shown
from .admission import NOT_IMITATED as NOT_IMITATED
from .admission import STANDS_IN as STANDS_IN
from .images import PrivateRegistry
from .script import Creation
from .shown import AciEvent, AciState

GB = 1 << 30
GRACE = 10  # seconds between SIGTERM and SIGKILL
BACKOFF = (1.0, 10.0)  # seconds before a start again: the first, and the most


class ContainerGroup:
    """One group with one container, from an `az container create`; started when made, ended with its context and `llmlab clean`.

    :param registries: private registries that are known here; an image of theirs must be in them, and the credential theirs.
    :param shares: Azure file shares by name: the folder that each is here.
    :param backoff: seconds before a container that ended is started again: the first time, and the most (doubled each time).
    :raises LabError: with the words of az or the service, when it would be refused; with the line of the script.
    """

    def __init__(
        self,
        asked: Creation,
        *,
        registries: Sequence[PrivateRegistry] = (),
        shares: Mapping[str, Path] | None = None,
        backoff: tuple[float, float] = BACKOFF,
        say: Say = quiet,
    ) -> None:
        self.registries, self.shares, self.backoff = tuple(registries), dict(shares or {}), backoff
        admission.admit(asked, self.registries, self.shares)
        self.asked = asked
        self.restart_count = 0  # how often its container was started again
        self.current = AciState("Waiting", "Pending")  # how its container is
        self.previous: AciState | None = None  # how it was before it was started again
        self._events: list[AciEvent] = []
        self._lock = threading.RLock()
        self._ending = threading.Event()  # of the run that goes on; each has its own
        self._stopped = self._closed = False
        self._secrets: Scratch | None = None
        #: What holds its container.
        self.group = Group(
            f"container group {asked.name}", cpus=asked.cpu, memory=int(asked.memory * GB), say=say
        )
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    # What the service says of it

    @property
    def name(self) -> str:
        """Its name, which is that of its container too."""
        return str(self.asked.name)

    @property
    def state(self) -> str:
        """The group's: Pending | Running | Stopped | Succeeded | Failed (container-state.md of azure-compute-docs, 2025-11-17)."""
        with self._lock:
            if self._stopped:
                return "Stopped"
            if self.current.state != "Terminated":
                return "Running" if self.current.state == "Running" or self.restart_count else "Pending"
            return "Succeeded" if self.current.exit_code == 0 else "Failed"

    @property
    def address(self) -> str | None:
        """Its IP address; None: the script opens none."""
        return self.group.address if self.asked.opened else None

    def url(self, port: int | None = None) -> str:
        """Where a port of it answers from outside; the first that is open, if none is named.

        :raises LabError: when it is not open, with what opens it.
        """
        opened = () if self.asked.subnet else self.asked.opened  # in a network, nobody from outside comes in
        wanted = port or (opened[0] if opened else None)
        if wanted is None or wanted not in opened:
            also = f"; open: {', '.join(map(str, opened))}" if opened else ""
            which = f"Port {wanted}" if wanted else "A port"
            raise LabError(
                f"{which} of the container group {self.name} is not open{also}.",
                where=self.asked.where,
                fix=f"--ip-address Public --ports {wanted or 8080}",
            )
        return f"http://{self.address}:{wanted}"

    def describe(self) -> dict[str, Any]:
        """What `az container show` prints of it: no secure value, no password, no secret comes back."""
        with self._lock:
            return shown.group(self)

    @property
    def events(self) -> tuple[AciEvent, ...]:
        """What happened to its container, in order."""
        return tuple(self._events)

    def logs(self) -> str:
        """`az container logs`: what the container that is there now wrote; that of the ones before it is gone, as in Azure."""
        with contextlib.suppress(LabError):
            return self.group.logs(self.name).decode(errors="replace")
        return ""

    def wait(self, state: str, *, within: float, restarts: int = 0) -> float:
        """Wait until the group is in a state, after at least so many restarts; the seconds that it took.

        :raises LabError: when it does not come in time, with the container's last lines.
        """
        began = time.monotonic()
        wait(
            f"the container group {self.name} to be {state}",
            lambda: self.state == state and self.restart_count >= restarts,
            within,
            trouble=lambda: [f"It is {self.state}. Its last lines:", *self.logs().splitlines()[-12:]],
            where=self.asked.where,
        )
        return time.monotonic() - began

    # What one can do to it

    def exec(self, command: str, *, timeout: float = 30) -> tuple[int, str]:
        """`az container exec --exec-command`: a program of the image, which takes no arguments there; its exit code and what it printed."""
        return self.group.exec(self.name, [command], timeout)

    def stop(self) -> int:
        """`az container stop`: SIGTERM, then SIGKILL; the exit code. Nothing of its file system is kept."""
        with self._lock:
            self._ending.set()
            self._stopped = True
            _, code = self.group.stop(self.name, GRACE)
            self._over(code)
            self._event("Killing", f"Stopping container {self.name}")
            return code

    def start(self) -> None:
        """`az container start`: a stopped one again, with a file system that is the image's.

        :raises LabError: when it runs.
        """
        if self.state in ("Running", "Pending"):
            raise LabError(f"The container group {self.name} runs already.")
        self._begin()

    def restart(self) -> float:
        """`az container restart`: all of it again in place; seconds from the beginning of its end until it has been started."""
        return self._again(self.asked)

    def update(self, asked: Creation) -> float:
        """`az container create` once more with the same name: the whole description counts, and every container starts anew.

        :returns: seconds in which nothing ran: there is no second instance.
        :raises LabError: when it would be refused; the group is then as it was.
        """
        admission.admit(asked, self.registries, self.shares)
        admission.admit_update(self.asked, asked, self.state)
        return self._again(asked)

    def close(self) -> None:
        """`az container delete`; may be called twice."""
        with self._lock:  # not while the thread that watches makes a container
            self._closed = True
            self._ending.set()
            self.group.close()
            if self._secrets is not None:
                self._secrets.close()

    def __enter__(self) -> ContainerGroup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # How it is run

    def _secret_files(self) -> Path | None:
        """Files of their own for --secrets, in a folder that nobody else on this machine may enter."""
        if not self.asked.secrets:
            return None
        if self._secrets is None:
            self._secrets = Scratch(f"secrets of the container group {self.name}")
        return admission.secret_files(self.asked, self._secrets.path / "secrets")

    def _begin(self) -> None:
        """A run of its own: the first start, and a thread that sees to what the restart policy says."""
        with self._lock:
            self.restart_count, self.previous, self._stopped = 0, None, False
            self._ending = ending = threading.Event()
            self._event("Pulled", f"Successfully pulled image {self.asked.image}")
            self._start()
        threading.Thread(target=self._watch, args=(ending,), daemon=True).start()

    def _again(self, asked: Creation) -> float:
        began = time.monotonic()
        with self._lock:
            if self.state != "Stopped":
                self.stop()
            self.asked = asked
            self._begin()
            return time.monotonic() - began

    def _start(self) -> None:
        """Make the container anew and start it; one that cannot be started counts as one that ended at once."""
        if self.name in self.group.names:
            self.group.remove(self.name)
        self.group.create(admission.container(self.asked, self.shares, self._secret_files()))
        try:
            self.group.start(self.name)
        except LabError as error:
            self._event("Failed", f"Error: {error.what}", "Warning")
            self._over(127, error.what)
            return
        self._event("Started", f"Started container {self.name}")
        self.current = AciState("Running", "", started=self.group.state(self.name).started)

    def _over(self, code: int, why: str = "") -> None:
        state = self.group.state(self.name)
        detail = "OOMKilled" if state.oom_killed else why or ("Completed" if code == 0 else "Error")
        self.current = AciState("Terminated", detail, code, state.started, state.finished)

    def _watch(self, ending: threading.Event) -> None:
        """Follow one run: wait for each end, start again where the policy says so."""
        first, most = self.backoff
        while not ending.is_set():
            code = self._until_it_ends()
            with self._lock:
                if ending.is_set():
                    return
                if code is not None:
                    self._over(code)
                elif self.current.state == "Running":
                    return
                policy, last = self.asked.restart_policy or "Always", self.current
                again = policy == "Always" or (policy == "OnFailure" and last.exit_code != 0)
                if not again or last.state != "Terminated":
                    return
                self.previous = last
                self.current = AciState("Waiting", "CrashLoopBackOff", last.exit_code)
                self._event("BackOff", f"Back-off restarting container {self.name}", "Warning")
            if ending.wait(min(first * 2 ** min(self.restart_count, 16), most)):
                return
            with self._lock, contextlib.suppress(LabError):
                if ending.is_set():
                    return
                self.restart_count += 1
                self._start()

    def _until_it_ends(self) -> int | None:
        """Its exit code; None: it did not run, or somebody has removed it."""
        from docker.errors import APIError

        while self.current.state == "Running":
            for _ in self.group.follow(self.name):
                pass
            try:
                return self.group.wait(self.name, within=30)
            except APIError:
                return None
            except LabError:  # it runs on, though its log broke off; or the group has been closed
                if self._closed:
                    return None
        return None

    def _event(self, name: str, message: str, kind: str = "Normal") -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._events.append(AciEvent(name, message, kind, now))
