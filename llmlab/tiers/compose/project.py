"""One Compose project: the learner's file brought up under a name of ours, beside whatever else of it may run."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import LabError, Unavailable
from ...serve.ports import free_port, port_holder
from ...system.yaml_nodes import scalar_line
from ..docker import vet as vetting
from ..docker.daemon import client, docker, failure, speaking
from ..docker.images import here
from ..docker.logs import telling
from ..docker.owning import PROJECT, Claim
from . import variables, vetted
from .refusals import unreadable

TAIL = 12
SERVICE = "com.docker.compose.service"
#: What Compose prints while it works; none of it says what went wrong.
_PROGRESS = re.compile(
    r"\s(Creat|Recreat|Start|Wait|Stop|Runn|Remov|Health)(ing|ed|e|y)?\s*$|\sError\s*$|level=warning"
)


class Project:
    """A Compose file as it runs.

    :param file: the Compose file; relative paths in it count from its folder.
    :param own_ports: publish on free ports of 127.0.0.1 instead of those that the file names, so that the learner's
        own deployment of the same file may run beside it. What clashes in the file still clashes.
    :param env: what `${…}` in the file stands for, besides this process's environment. What it names with a full path
        may be mounted read-only, also where the file is vetted.
    :param vet: refuse a file that asks for more than containers of its own; None: as `vet.on()` says, so in all checks.
    """

    def __init__(
        self,
        file: Path,
        *,
        own_ports: bool = False,
        env: Mapping[str, str] | None = None,
        profiles: Sequence[str] = (),
        vet: bool | None = None,
    ) -> None:
        self.file = file
        self.own_ports = own_ports
        self.env = dict(env or {})
        self.profiles = tuple(profiles)  # of its services: whose are started, too
        self.vet = vetting.on() if vet is None else vet
        self.claim: Claim | None = None  # what marks what it has made in Docker; None: it is not up
        self._config: dict[str, Any] | None = None
        self._given: str | None = None  # what Compose was handed
        self._renamed: dict[str, str] = {}  # our name of a container -> the file's

    def config(self) -> dict[str, Any]:
        """The file as Compose understands it: names resolved, variables replaced, defaults filled in.

        :raises LabError: when it cannot be read, with Compose's words and the line they name.
        """
        if self._config is None:
            if not self.file.is_file():
                raise LabError(
                    f"There is no {self.file.name}.", where=str(self.file.parent), fix="llmlab reset"
                )
            if self.vet:
                vetting.before_reading(self.file)
            line = ["compose", "-p", "llmlab", "-f", str(self.file), *self._profiles()]
            done = docker(*line, "config", "--format", "json", env=self.env, cwd=self.file.parent, timeout=60)
            if done.returncode:
                raise self._explained(unreadable(self.file, done.stderr))
            config = json.loads(done.stdout)
            if self.vet:
                lent = [Path(path) for path in self.env.values() if path.startswith("/")]
                vetting.refuse(config, self.file, lent=lent)
            self._config = config
        assert self._config is not None
        return self._config

    def services(self) -> dict[str, Any]:
        """The services of the file, those of the chosen profiles; errors as in `config`."""
        return dict(self.config().get("services") or {})

    def up(self, *, scale: Mapping[str, int] | None = None, timeout: float = 120) -> None:
        """`docker compose up --wait`, under a name of its own; when the first fails, nothing of it is left.

        :raises LabError: with the last lines of Compose and of the container that is not well.
        """
        first = self.claim is None
        self._mounts()  # what is wrong with the file is said before anything is made
        self.claim = self.claim or Claim(f"Compose project of {self.file.name}")
        scales = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
        waits = ["up", "-d", "--wait", "--wait-timeout", str(int(timeout)), *scales]
        try:
            self._given = self._given or self._deployed(self.claim)
            done = self._compose(*waits, timeout=timeout + 120)
            if done.returncode:
                raise self._failed(done.stderr)
        except BaseException:
            if first:
                with contextlib.suppress(LabError):  # what went wrong first is what to say
                    self.down()
            raise

    def _explained(self, error: LabError) -> LabError:
        """With what the file leaves to an .env or another file that is not here."""
        if isinstance(error, Unavailable):
            return error
        return variables.explained(error, self.file, {**os.environ, **self.env}, alone=self.vet)

    def _mounts(self) -> None:
        """Refuse a mounted file that is not there: Docker would make an empty folder of that name, and go on."""
        for name, service in self.services().items():
            for volume in service.get("volumes") or []:
                source = Path(str(volume.get("source") or ""))
                if volume.get("type") == "bind" and source.suffix and not source.exists():
                    line = scalar_line(self.file, source.name)
                    raise LabError(
                        f"{name} mounts {source.name}, and there is no such file.",
                        where=f"{self.file.name}:{line}" if line else self.file.name,
                    )

    def _deployed(self, claim: Claim) -> str:
        """What is handed to Compose: the resolved file, its fixed names and ports made ours where asked for."""
        config = vetted.project(self.config(), claim) if self.vet else copy.deepcopy(self.config())
        config.pop("name", None)
        for kind in ("networks", "volumes"):
            for resource in (config.get(kind) or {}).values():
                if resource and not resource.get("external"):
                    resource.pop(
                        "name", None
                    )  # Compose names it after the project; two projects must not share it
        moved: dict[str, str] = {}
        for name, service in (config.get("services") or {}).items():
            if not self.own_ports:
                continue
            if service.get("container_name"):  # still a fixed name, so still one container
                self._renamed[f"{claim.name}-{name}"] = str(service["container_name"])
                service["container_name"] = f"{claim.name}-{name}"
            for port in service.get("ports") or []:
                wanted = str(port.get("published") or "")
                port["host_ip"] = "127.0.0.1"
                if wanted.isdigit():  # the same port for all who ask for it: what clashed must clash
                    port["published"] = moved.setdefault(wanted, str(free_port()))
                else:
                    port.pop("published", None)
        return json.dumps(config)

    def _profiles(self) -> list[str]:
        return [word for profile in self.profiles for word in ("--profile", profile)]

    def _compose(self, *argv: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        assert self.claim is not None
        line = ["compose", "-p", self.claim.name, "-f", "-", *self._profiles(), *argv]
        return docker(*line, stdin=self._given, timeout=timeout, env=self.env, cwd=self.file.parent)

    def taken(self) -> list[tuple[int, str]]:
        """Ports that the file publishes and somebody else holds, with who it is."""
        found = []
        for service in self.services().values():
            for port in service.get("ports") or []:
                wanted = str(port.get("published") or "")
                if wanted.isdigit() and (holder := _holder(int(wanted))):
                    found.append((int(wanted), holder))
        return found

    def _failed(self, said: str) -> LabError:
        """Compose's last lines, without its progress, and the last lines of what is not well."""
        plain = failure(("compose", "up"), said)
        if isinstance(plain, Unavailable):
            return plain
        lines = [line.strip() for line in said.splitlines() if line.strip() and not _PROGRESS.search(line)]
        port = re.search(r"(?:Bind for|listen tcp4?) [\d.]+:(\d+)", said)
        lines += self.unwell()
        where = self.file.name
        for name, image in self._absent() if "Pulling" in said else ():
            lines.append(f"{name} needs the image {image}, which is not here and could not be pulled.")
            where = f"{self.file.name}:{scalar_line(self.file, image) or 1}"
        words = "\n".join(lines[-3 * TAIL :]) or said.strip()[-2000:]
        for ours, theirs in self._renamed.items():
            words = words.replace(ours, theirs)
        fix = None
        if port and not self.own_ports:
            fix = f"port {port[1]} is held by {_holder(int(port[1])) or 'somebody else'}: stop it, or publish another"
        return self._explained(LabError(f"docker compose up failed:\n{words}", where=where, fix=fix))

    def _absent(self) -> list[tuple[str, str]]:
        """Services and images that the daemon has not."""
        wanted = [(name, str(service.get("image") or "")) for name, service in self.services().items()]
        return [(name, image) for name, image in wanted if image and not here(image)]

    def unwell(self) -> list[str]:
        """What containers said last that do not run, are unhealthy, or have been restarted again and again."""
        told: list[tuple[str, list[str]]] = []
        for container in self.containers():
            state = container.attrs["State"]
            health = (state.get("Health") or {}).get("Status")
            fine = (
                state.get("Running") and health != "unhealthy" and container.attrs.get("RestartCount", 0) < 2
            )
            if (
                fine
                or state["Status"] == "created"
                or (state["Status"] == "exited" and not state["ExitCode"])
            ):
                continue
            how = "unhealthy" if health == "unhealthy" else f"ended with code {state.get('ExitCode')}"
            said = telling(container.logs(tail=100).decode(errors="replace"))
            if (service_of(container), said[-1:]) not in [(name, lines[-1:]) for name, lines in told]:
                told.append(
                    (f"{service_of(container)}", [f"{service_of(container)} ({how}) said last:", *said])
                )
        return [line for _, lines in told for line in lines]

    def settle(self, *, seconds: float = 2.5, within: float = 15) -> list[str]:
        """Wait until every container has run well for a while; what those said that have not (see `unwell`).

        One that was just restarted is unhealthy until it is asked the next time.
        """
        deadline = time.monotonic() + within
        while True:
            containers = [container for container in self.containers() if container.status != "exited"]
            if all(_age(container) >= seconds and not _unhealthy(container) for container in containers):
                return self.unwell()
            if time.monotonic() > deadline:
                return self.unwell()
            time.sleep(0.2)

    def containers(self, service: str | None = None) -> list[Any]:
        """Its containers (docker SDK objects), also those that have ended, in the order of their numbers."""
        if self.claim is None:
            return []
        with speaking():
            found = client().containers.list(
                all=True, filters={"label": f"{PROJECT}={self.claim.name}"}, ignore_removed=True
            )
        found = [container for container in found if service is None or service_of(container) == service]
        return sorted(found, key=lambda container: (service_of(container), _number(container)))

    def published(self, service: str, port: int) -> str | None:
        """Where a container port of a service answers on this machine, as http://127.0.0.1:PORT."""
        for container in self.containers(service):
            for place in (container.ports or {}).get(f"{port}/tcp") or []:
                return f"http://127.0.0.1:{place['HostPort']}"
        return None

    def addresses(self) -> list[tuple[Any, str]]:
        """Every published TCP port as (container, http://127.0.0.1:PORT)."""
        found = []
        for container in self.containers():
            for name, places in (container.ports or {}).items():
                for port in {place["HostPort"] for place in places or []} if name.endswith("/tcp") else ():
                    found.append((container, f"http://127.0.0.1:{port}"))
        return found

    @property
    def address(self) -> str:
        """Where its first published port answers.

        :raises LabError: when it publishes none.
        """
        for _, found in self.addresses():
            return found
        raise LabError("The project publishes no port.", where=self.file.name)

    def down(self) -> None:
        """`docker compose down -v --remove-orphans`, then whatever is left under its name; may be called twice."""
        if self.claim is None:
            return
        try:
            if self._given:
                self._compose("down", "-v", "--remove-orphans", "--timeout", "2")
        finally:
            self.claim.close()
            self.claim = self._given = None  # the next one has other names, and images of its own

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A daemon that is gone has said so already; what was registered stays, and `llmlab clean` ends it later.
        with contextlib.suppress(Unavailable):
            self.down()


def service_of(container: Any) -> str:
    """The name of the service that a container belongs to."""
    return str(container.labels.get(SERVICE, ""))


def _unhealthy(container: Any) -> bool:
    return bool((container.attrs["State"].get("Health") or {}).get("Status") == "unhealthy")


def _age(container: Any) -> float:
    """Seconds since it was started last; 0 while it does not run."""
    state = container.attrs["State"]
    if not state.get("Running"):
        return 0.0
    started = datetime.fromisoformat(state["StartedAt"][:19] + "+00:00")
    return (datetime.now(UTC) - started).total_seconds()


def _number(container: Any) -> int:
    return int(container.labels.get("com.docker.compose.container-number", 0))


def _holder(port: int) -> str | None:
    """Who holds a port of this machine: a container by its name, else a process."""
    with contextlib.suppress(LabError), speaking():
        for container in client().containers.list(ignore_removed=True):
            for places in (container.ports or {}).values():
                if any(place["HostPort"] == str(port) for place in places or []):
                    return f"container {container.name}"
    return port_holder(port)
