"""The Docker daemon: found where the docker command finds it, and what to do when it does not answer."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LabError, Unavailable
from ...system import without as taken_away
from ...system.paths import course_dir
from .plugins import environment

if TYPE_CHECKING:
    from docker import DockerClient

MAC = sys.platform == "darwin"


def address() -> str:
    """Where the daemon listens: `DOCKER_HOST`, else the docker command's current context, else its usual socket."""
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    from docker.context import ContextAPI

    with contextlib.suppress(Exception):  # no context is no error: most machines have none
        found = ContextAPI.get_current_context()
        if found is not None and found.Host:
            return str(found.Host).replace("http+unix", "unix")
    return "unix:///var/run/docker.sock"


@functools.cache
def _client(where: str) -> DockerClient:
    import docker as sdk

    return sdk.DockerClient(base_url=where, timeout=60)


def client(where: str | None = None) -> DockerClient:
    """The daemon (at `where`; default: `address()`), through the docker SDK; it has just answered.

    :raises LabError: when Docker is missing, stopped or forbidden: one sentence each, with what mends it.
    """
    where = where or address()
    if taken_away.taken("docker"):
        raise _none(where)
    try:
        found = _client(where)
        found.ping()
    except Exception as error:
        _client.cache_clear()
        raise trouble(error, where) from None
    return found


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Around calls of the SDK: a daemon that dies in between is a `LabError`, not a traceback of urllib3."""
    import requests

    try:
        yield
    except (requests.exceptions.ConnectionError, requests.exceptions.ReadTimeout) as error:
        raise trouble(error, address()) from None


def trouble(error: Exception, where: str) -> Unavailable:
    """Why the daemon does not answer, in one sentence with the command that mends it."""
    text = str(error)
    path = where.removeprefix("unix://")
    without = _labs_without()
    if "Permission denied" in text or "PermissionError" in text:
        return Unavailable(
            "You may not use the Docker daemon.",
            where=path,
            fix="sudo usermod -aG docker $USER, then log in anew",
            without=without,
        )
    if shutil.which("docker") is None and "FileNotFound" in text:
        return _none(f"no docker on PATH, no {path}")
    return Unavailable("The Docker daemon is not running.", where=path, fix=_start(), without=without)


def _none(where: str) -> Unavailable:
    if taken_away.taken("docker"):
        return Unavailable(
            f"Docker is {taken_away.WORDS}.", where=where, fix=taken_away.MEND, without=_labs_without()
        )
    return Unavailable("Docker is not installed.", where=where, fix=_install(), without=_labs_without())


def _install() -> str:
    linux = "sudo apt-get install docker.io  (or see docs.docker.com/get-docker)"
    return "brew install --cask docker" if MAC else linux


def _start() -> str:
    if MAC:
        return "open -a Docker"
    booted = Path("/run/systemd/system").is_dir()
    return "sudo systemctl start docker" if booted else "sudo dockerd   (in a terminal of its own)"


def _labs_without() -> str | None:
    """Which labs still work."""
    with contextlib.suppress(Exception):
        numbers = []
        for path in sorted((course_dir() / "labs").glob("*/lab.toml")):
            if "docker" not in tomllib.loads(path.read_text(encoding="utf-8")).get("needs", []):
                numbers.append(path.parent.name.partition("-")[0])
        if numbers:
            return f"labs {', '.join(numbers)} work without it"
    return None


def docker(
    *argv: str,
    stdin: str | None = None,
    timeout: float | None = 600,
    check: bool = False,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the docker command with the plugins that this machine has or that we brought.

    :param check: raise `LabError` with the last lines of what it said when its exit code is not 0.
    """
    if taken_away.taken("docker"):
        raise _none(" ".join(["docker", *argv[:1]]))
    try:
        done = subprocess.run(
            ["docker", *argv],
            input=stdin or "",  # never this process's own: a grader is spoken to there
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd=cwd,
            env={**environment(), **(env or {})},
        )
    except FileNotFoundError:
        raise _none("no docker on PATH") from None
    except subprocess.TimeoutExpired:
        raise LabError(
            f"docker {argv[0]} was not done after {timeout:.0f} s.", where=" ".join(["docker", *argv[:6]])
        ) from None
    if check and done.returncode:
        raise failure(argv, done.stderr or done.stdout)
    return done


def failure(argv: Sequence[str], said: str, *, lines: int = 12) -> LabError:
    """What the docker command said last, as an error."""
    last = "\n".join(said.strip().splitlines()[-lines:])
    found = machine_trouble(last)
    if found is not None:
        return found
    return LabError(f"docker {argv[0]} failed:\n{last}", where=" ".join(["docker", *argv[:8]]))


def machine_trouble(said: str) -> Unavailable | None:
    """Whether what went wrong is the machine's fault: the daemon is gone, or its disk is full. It is asked, not believed.

    :param said: the tool's last lines, shown with a full disk.
    """
    try:
        root = Path(str(client().info()["DockerRootDir"]))
    except Unavailable as error:
        return error
    except LabError:
        return None
    if root.is_dir() and disk_full(root):  # elsewhere than on this machine it cannot be seen
        fix = "docker system df shows by what; docker system prune removes what nothing uses"
        return Unavailable(f"The disk is full. The last lines:\n{said}", where=str(root), fix=fix)
    return None


def disk_full(folder: Path) -> bool:
    """Less than 1 % or 64 MiB of the disk below `folder` is free."""
    usage = shutil.disk_usage(folder)
    return usage.free < min(64 << 20, usage.total // 100)
