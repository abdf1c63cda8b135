"""The Docker daemon for the checks of a container lab: how they reach it, what they may take of it, what is removed afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import doctor
from ..course.info import LabInfo
from ..errors import LabError
from ..serve.limits import CGROUP
from ..system import owned
from ..tiers.docker import bounds, images, plugins
from ..tiers.docker import daemon as docker
from .cage import Allowance

WORDS = "what was handed in runs in containers of its own, each with limits on cpus, memory, processes"
HELD = "builds"
SETTLED = 3  # seconds in which the daemon may still finish what it was asked for by a process that was killed


def needed(info: LabInfo) -> bool:
    """Whether what a lab's learners hand in runs in containers (`needs` in its lab.toml names docker or kubernetes)."""
    return bool({"docker", "kubernetes"} & set(info.needs))


def require(info: LabInfo) -> None:
    """Whether this machine has what a container lab is graded with; any other lab needs nothing of it.

    :raises LabError: when it has not, with the command that mends it.
    """
    if not needed(info):
        return
    for name in ("docker", "kubernetes"):
        need = doctor.need(name)
        if name in info.needs and not need.met:
            raise LabError(f"Lab {info.number} is graded in containers: {need.detail}", fix=need.mend)
    if "docker" not in info.needs:
        return
    lacking = images.missing(info.images.get("docker", ()))
    if lacking:
        raise LabError(
            f"Images of lab {info.number} are not here: {', '.join(lacking)}.",
            fix=f"llmlab fetch {info.number}",
        )


def variables(home: Path, allowance: Allowance, mine: str, *, path: str) -> dict[str, str]:
    """The environment of a process that deploys in the daemon; nobody's credentials are in it.

    :param mine: under which name what it makes is registered.
    """
    command = shutil.which("docker")
    theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    extra = plugins.config().get("cliPluginsExtraDirs")
    folders = [str(theirs / "cli-plugins"), *(extra if isinstance(extra, list) else [])]
    folder = home / ".docker"
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": folders}))
    limits = bounds.Bounds(
        cpus=allowance.cpus,
        memory=allowance.memory,
        processes=allowance.processes,
        build=allowance.build,
        apart=mine,
    )
    kept = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_API_VERSION")
    return {
        "PATH": os.pathsep.join([path, str(Path(command).parent)]) if command else path,
        "DOCKER_HOST": docker.address(),
        "DOCKER_CONFIG": str(folder),
        bounds.VARIABLE: limits.text(),
        **{name: os.environ[name] for name in kept if name in os.environ},
    }


@contextlib.contextmanager
def held(info: LabInfo, processes: int) -> Iterator[None]:
    """While a container lab is graded, all build steps of the daemon together have this many processes.

    BuildKit limits no step of its own accord; below `docker/buildkit`, the parent of them all, the kernel does. Where that is
    not ours to write (no root, or systemd's cgroups) a step is held by its time alone.

    :raises LabError: as `require`.
    """
    require(info)
    entries = []
    for place in ("pids/docker/buildkit", "docker/buildkit") if "docker" in info.needs else ():
        path = CGROUP / place / "pids.max"
        with contextlib.suppress(OSError):
            if (CGROUP / place).parent.is_dir():
                path.parent.mkdir(exist_ok=True)
            before = path.read_text().strip()
            # Registered first: a grader that is killed would leave it to every build after it. Also where a limit stands already:
            # whoever set it may be gone, and the last one lets go.
            entries.append(
                owned.register(
                    HELD, "limit on the processes of builds", file=str(path), token=secrets.token_hex(8)
                )
            )
            if before == "max":
                path.write_text(str(processes))
    try:
        yield
    finally:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # `llmlab clean --all` has let go of it
                data = json.loads(entry.read_text())
                owned.forget(entry)
                _let_go(data)


def _let_go(data: dict[str, Any]) -> None:
    """Lift the limit, unless another grader is still at work under it."""
    others = [
        entry
        for entry in owned.entries()
        if entry.kind == HELD
        and entry.owner_alive
        and entry.data["file"] == data["file"]
        and entry.data["token"]
        != data["token"]  # not itself, which `llmlab clean --all` ends while its owner lives
    ]
    with contextlib.suppress(OSError):
        if not others:
            Path(data["file"]).write_text("max")


owned.ENDERS[HELD] = _let_go


def remove(mine: str) -> list[str]:
    """Remove all that was made in the daemon on behalf of one submission; returns what could not be.

    The daemon may be in the middle of making something for a process that was killed just now, so a name that was still
    registered is looked through until nothing more comes.
    """
    left = []
    for entry in owned.entries():
        if entry.data.get("on_behalf") != mine:
            continue
        try:
            if entry.kind == "docker":
                _settle(entry)
            entry.end()
        except LabError as error:
            left.append(f"{entry.label}: {error.what}")
    return left


def _settle(entry: owned.OwnedEntry) -> None:
    from ..tiers.docker.owning import LABEL, PROJECT, end

    name = entry.data["name"]
    deadline, last = time.monotonic() + SETTLED, time.monotonic() + 10 * SETTLED
    while time.monotonic() < min(deadline, last):
        end(entry.data)
        with docker.speaking():
            found = [
                container
                for label in (LABEL, PROJECT)
                for container in docker.client().containers.list(
                    all=True, filters={"label": f"{label}={name}"}, ignore_removed=True
                )
            ]
        if found:
            deadline = time.monotonic() + SETTLED
        time.sleep(0.5)
