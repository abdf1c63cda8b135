"""A group of containers that share one network, as an ECS task and an Azure container group are: on Docker, owned, with an address."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import LabError, Unavailable
from ...say import Say, quiet
from ..docker import bounds
from ..docker import images as ours
from ..docker.container import Container, processes
from ..docker.daemon import client, speaking
from ..docker.owning import Claim
from ..kubernetes.programs import images

TIMED_OUT = 124  # what `exec` gives for a command that had to be ended, as timeout(1) does
LEAST = 6 << 20  # bytes: the daemon takes no smaller limit of memory


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupContainer:
    """One container of a group.

    `entrypoint` and `command` replace the image's own (an entrypoint of ours without a command drops the image's command too);
    None: the image's. `cpus` in cores, `memory` in bytes, both hard limits; None: the group's. `options`: more of the docker SDK's.
    """

    name: str
    image: str
    entrypoint: Sequence[str] | None = None
    command: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    cpus: float | None = None
    memory: int | None = None
    read_only: bool = False
    user: str | None = None
    stop_signal: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContainerState:
    """How a container is: created | running | exited; times as the daemon writes them (RFC 3339), None before they are."""

    status: str
    exit_code: int | None
    oom_killed: bool
    started: str | None
    finished: str | None
    health: str | None = None  # starting | healthy | unhealthy; None: nobody asks
    health_said: str = ""  # what the last health check printed
    error: str = ""  # why it could not be started, in the daemon's words


class Group:
    """Containers that reach each other on 127.0.0.1, behind one address. All of it ends with its context, and with `llmlab clean`.

    A container of ours that does nothing holds the network: the address is there before any other runs, and stays when one ends.
    An image's own HEALTHCHECK is ignored, as ECS and Container Instances do; `options={"healthcheck": …}` asks for one.

    Not imitated: a limit over all containers together (the group's `cpus` and `memory` are each container's where it has none of its
    own, and cores are at most those of the daemon); and where Docker runs in a machine of its own (macOS), `address` is known there only.

    :param label: what it is, for `llmlab status`. :param cpus: cores. :param memory: bytes.
    :raises LabError: when the daemon does not answer, or the image of the holder cannot be made.
    """

    def __init__(
        self, label: str, *, cpus: float | None = None, memory: int | None = None, say: Say = quiet
    ) -> None:
        self.cpus, self.memory = cpus, memory
        self._containers: dict[str, Container] = {}
        self._lock = threading.RLock()
        from docker.errors import APIError

        _bring_holder(say)
        self.claim = Claim(label)
        try:
            with speaking():
                client().networks.create(self.claim.name, driver="bridge", labels=self.claim.labels)
                self._most = float(client().info()["NCPU"])
            self._holder = Container(images.PAUSE, claim=self.claim, network=self.claim.name)
            self._holder.reload()
        except BaseException as error:
            self.claim.close()
            if isinstance(error, APIError):  # e.g. no address is left for another network
                why = str(error.explanation or error)
                raise Unavailable("Docker made no network.", where=why, fix="docker network prune") from None
            raise

    @property
    def address(self) -> str:
        """The IP address that all of them share, reached from this machine."""
        return str(self._holder.raw.attrs["NetworkSettings"]["Networks"][self.claim.name]["IPAddress"])

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were created, in that order."""
        return tuple(self._containers)

    def create(self, container: GroupContainer) -> None:
        """Make a container, not started yet.

        :raises LabError: with the daemon's words: no such image, no command at all, or a name that is taken.
        """
        if container.name in self._containers:
            raise LabError(f"Two containers of one group are named {container.name!r}.")
        options: dict[str, Any] = {"healthcheck": {"test": ["NONE"]}, **container.options}
        # whose it is is not for a file to say
        options["labels"] = {**options.get("labels", {}), **self.claim.labels}
        if container.entrypoint is not None:
            options["entrypoint"] = list(container.entrypoint)
        cpus, memory = container.cpus or self.cpus, container.memory or self.memory
        most = bounds.here()  # a grader's: what a file says does not lift them
        if cpus:
            options["nano_cpus"] = int(min(cpus, self._most, most.cpus if most else cpus) * 1e9)
        if memory:
            memory = max(min(memory, most.memory if most else memory), LEAST)
            options["mem_limit"] = options["memswap_limit"] = memory
        if container.user is not None:
            options["user"] = container.user
        if container.stop_signal is not None:
            options["stop_signal"] = container.stop_signal
        self._containers[container.name] = Container(
            container.image,
            list(container.command or ()),
            claim=self.claim,
            start=False,
            network_mode=f"container:{self._holder.raw.id}",
            environment=dict(container.environment),
            read_only=container.read_only,
            **options,
        )

    def start(self, name: str) -> None:
        """Start it; also again, once it has ended, with the file system that it left.

        :raises LabError: with the daemon's words, e.g. that the program is not in the image.
        """
        from docker.errors import APIError

        try:
            with self._lock, speaking():
                self._one(name).raw.start()
        except APIError as error:
            raise LabError(f"{name} did not start: {error.explanation or error}", where=name) from None

    def stop(self, name: str, grace: int) -> tuple[float, int]:
        """Its stop signal, then after `grace` seconds SIGKILL: the seconds it took and the exit code (137: it had to be killed)."""
        return self._one(name).stop(grace)

    def remove(self, name: str) -> None:
        """End it at once and forget its file system; the name is free again."""
        with self._lock:
            self._one(name).close()
            del self._containers[name]

    def state(self, name: str) -> ContainerState:
        """How it is now."""
        state = self._one(name).state
        started, finished = (
            when if (when := str(state[key])) and not when.startswith("0001-") else None
            for key in ("StartedAt", "FinishedAt")
        )
        ended = state["Status"] in ("exited", "dead")
        health = state.get("Health") or {}
        checked = health.get("Log") or []
        return ContainerState(
            str(state["Status"]),
            int(state["ExitCode"]) if ended else None,
            bool(state.get("OOMKilled")),
            started,
            finished if ended else None,
            health.get("Status") if health.get("Status") != "none" else None,
            str(checked[-1].get("Output", "")).strip() if checked else "",
            str(state.get("Error") or ""),
        )

    def wait(self, name: str, *, within: float) -> int:
        """Its exit code once it has ended; a `LabError` when it still runs after `within` seconds."""
        return self._one(name).exit(within=within)

    def exec(self, name: str, argv: Sequence[str], timeout: float) -> tuple[int, str]:
        """Run a command inside it: the exit code and what it printed. 126, 127: the image has no such program.

        124: it was killed after `timeout` seconds.

        :raises LabError: when the container does not run.
        """
        from docker.errors import APIError
        from docker.utils.socket import frames_iter

        container, api = self._one(name), client().api
        pieces: list[bytes] = []
        try:
            with speaking():
                made = api.exec_create(container.raw.id, list(argv))["Id"]
                pipe = api.exec_start(made, socket=True)
        except APIError as error:
            raise LabError(
                f"Nothing can be run in {name}: {error.explanation or error}", where=name
            ) from None

        def read() -> None:
            with contextlib.suppress(Exception):  # the stream of a command that is killed may break
                pieces.extend(data for _, data in frames_iter(pipe, tty=False))  # type: ignore[no-untyped-call]

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        reader.join(timeout)
        late = reader.is_alive()
        with speaking():
            about = api.exec_inspect(made)
            if late:
                _kill(int(about["Pid"]), str(container.raw.id))
                reader.join(5)
        _shut(pipe)
        text = b"".join(list(pieces)).decode(errors="replace")
        return (TIMED_OUT if late else int(about["ExitCode"] or 0)), text

    def logs(self, name: str) -> bytes:
        """All that it has written, stdout and stderr together."""
        with speaking():
            return bytes(self._one(name).raw.logs())

    def follow(self, name: str) -> Iterator[bytes]:
        """What it writes, from its first byte, as it comes; ends when it ends or the group is closed. For a thread of its own."""
        from docker.errors import APIError

        with contextlib.suppress(APIError), speaking():
            stream = self._one(name).raw.logs(stream=True, follow=True)
            try:
                yield from stream
            finally:
                _shut(stream)

    def inspect(self, name: str) -> dict[str, Any]:
        """Everything that the daemon says of it (`docker inspect`)."""
        container = self._one(name)
        container.reload()
        found: dict[str, Any] = container.raw.attrs
        return found

    def processes(self, name: str) -> list[dict[str, str]]:
        """Its processes as the host sees them: pid, uid, args; none when it has ended."""
        return processes(self._one(name).raw)

    def close(self) -> None:
        """Remove all of it; may be called twice."""
        self.claim.close()

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _one(self, name: str) -> Container:
        try:
            return self._containers[name]
        except KeyError:
            raise LabError(
                f"The group has no container {name!r}; it has {', '.join(self._containers) or 'none'}."
            ) from None


def _bring_holder(say: Say) -> None:
    """The image that holds a network: made here as an archive, where the daemon lacks it."""
    if not ours.here(images.PAUSE):
        (archive,) = images.archives([images.PAUSE], say)
        with speaking(), archive.open("rb") as data:
            client().images.load(data)


def _kill(pid: int, container: str) -> None:
    """End a command that runs in a container: only where this machine shows that the process is the container's."""
    with contextlib.suppress(OSError):
        if pid and container in Path(f"/proc/{pid}/cgroup").read_text():
            os.kill(pid, signal.SIGKILL)


def _shut(stream: Any) -> None:
    """Close a stream of the SDK's and the connection below it, which it forgets."""
    for part in ("_response", "_sock"):
        with contextlib.suppress(Exception):
            getattr(stream, part).close()
    with contextlib.suppress(Exception):
        stream.close()
