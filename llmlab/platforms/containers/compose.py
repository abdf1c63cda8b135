"""One Compose project: the learner's file brought up under a name of ours, on ports that nobody else has."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ...errors import LabError
from .daemon import client, docker, speaking
from .owning import PROJECT, Claim

TAIL = 12


class Project:
    """A Compose file as it runs.

    :param file: the Compose file; relative paths in it count from its folder.
    :param own_ports: publish on free ports of 127.0.0.1 instead of those that the file names, so that the learner's
        own deployment of the same file may run beside it.
    :param env: what `${…}` in the file stands for, besides this process's environment.
    """

    def __init__(
        self,
        file: Path,
        *,
        own_ports: bool = False,
        env: Mapping[str, str] | None = None,
        profiles: Sequence[str] = (),
    ) -> None:
        self.file = file
        self.own_ports = own_ports
        self.env = dict(env or {})
        self.profiles = tuple(profiles)
        self.claim: Claim | None = None
        self._config: dict[str, Any] | None = None

    def config(self) -> dict[str, Any]:
        """The file as Compose understands it: names resolved, variables replaced, defaults filled in.

        :raises LabError: when it cannot be read, with Compose's words and the line they name.
        """
        if self._config is None:
            profiles = [word for one in self.profiles for word in ("--profile", one)]
            done = docker(
                "compose",
                "-f",
                str(self.file),
                *profiles,
                "config",
                "--format",
                "json",
                env=self.env,
                cwd=self.file.parent,
            )
            if done.returncode:
                raise _unreadable(self.file, done.stderr)
            self._config = json.loads(done.stdout)
        assert self._config is not None
        return self._config

    def up(self, *, scale: Mapping[str, int] | None = None, timeout: float = 180) -> None:
        """`docker compose up --wait`, under a name of its own; after a failure nothing of it is left.

        :raises LabError: with the last lines of Compose and of the container that is not well.
        """
        wanted = self._deployed()
        first = self.claim is None
        self.claim = self.claim or Claim(f"Compose project of {self.file.name}")
        scales = [word for name, count in (scale or {}).items() for word in ("--scale", f"{name}={count}")]
        done = self._compose(
            "up",
            "-d",
            "--wait",
            "--wait-timeout",
            str(int(timeout)),
            *scales,
            stdin=wanted,
            timeout=timeout + 120,
        )
        if done.returncode:
            words = self._failed(done.stderr)
            if first:
                self.down()
            raise LabError(f"docker compose up failed:\n{words}", where=self.file.name)

    def _deployed(self) -> str:
        """What is handed to Compose: the resolved file, with ports of our own where asked for."""
        config = json.loads(json.dumps(self.config()))
        config.pop("name", None)
        for service in config.get("services", {}).values():
            if self.own_ports:
                for port in service.get("ports") or []:
                    port.pop("published", None)
                    port["host_ip"] = "127.0.0.1"
        return json.dumps(config)

    def _compose(self, *argv: str, stdin: str | None = None, timeout: float = 120) -> Any:
        assert self.claim is not None
        line = ["compose", "-p", self.claim.name]
        if stdin is not None:
            line += ["-f", "-"]
        line += [word for one in self.profiles for word in ("--profile", one)]
        return docker(*line, *argv, stdin=stdin, timeout=timeout, env=self.env, cwd=self.file.parent)

    def _failed(self, said: str) -> str:
        """Compose's last lines, without its progress, and the last lines of what is not well."""
        lines = [
            line
            for line in said.splitlines()
            if not re.search(r"(Creat|Start|Wait|Stop|Runn)(ing|ed)\s*$", line)
        ]
        for container in self.containers():
            state = container.attrs["State"]
            health = (state.get("Health") or {}).get("Status")
            if not state.get("Running") or health == "unhealthy":
                log = container.logs(tail=TAIL).decode(errors="replace").strip()
                how = health if state.get("Running") else f"ended with code {state.get('ExitCode')}"
                lines += [f"{_service(container)} ({how}) said last:", *log.splitlines()[-TAIL:]]
        return "\n".join(lines[-3 * TAIL :])

    def containers(self, service: str | None = None) -> list[Any]:
        """Its containers (docker SDK objects), also those that have ended, in the order of their numbers."""
        if self.claim is None:
            return []
        with speaking():
            found = client().containers.list(
                all=True, filters={"label": f"{PROJECT}={self.claim.name}"}, ignore_removed=True
            )
        found = [one for one in found if service is None or _service(one) == service]
        return sorted(found, key=lambda one: (_service(one), one.name))

    def published(self, service: str, port: int) -> str | None:
        """Where a container port of a service answers on this machine, as http://127.0.0.1:PORT."""
        for container in self.containers(service):
            for one in (container.ports or {}).get(f"{port}/tcp") or []:
                return f"http://127.0.0.1:{one['HostPort']}"
        return None

    @property
    def address(self) -> str:
        """Where its first published port answers.

        :raises LabError: when it publishes none.
        """
        for container in self.containers():
            for found in (container.ports or {}).values():
                if found:
                    return f"http://127.0.0.1:{found[0]['HostPort']}"
        raise LabError("The project publishes no port.", where=self.file.name)

    def down(self) -> None:
        """`docker compose down -v --remove-orphans`, then whatever is left under its name; may be called twice."""
        if self.claim is None:
            return
        try:
            self._compose("down", "-v", "--remove-orphans", "--timeout", "2")
        finally:
            self.claim.close()
            self.claim = None

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()


def _service(container: Any) -> str:
    return str(container.labels.get("com.docker.compose.service", ""))


def _unreadable(file: Path, said: str) -> LabError:
    last = "\n".join(line for line in said.strip().splitlines()[-TAIL:] if "level=warning" not in line)
    found = re.search(r"line (\d+)", last)
    return LabError(
        f"Compose cannot read {file.name}:\n{last}", where=f"{file.name}:{found[1]}" if found else file.name
    )
