"""The Compose and buildx plugins of the docker command: the machine's own, else brought into a private configuration.

Debian's docker.io has neither. Where apt is at hand they come from Debian 13's packages, unpacked into the cache:
nothing is installed, and the user's own docker configuration is only read.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import subprocess
from pathlib import Path

from ...errors import LabError
from ...system import without
from ...system.debian import unpack
from ...system.paths import cache_dir, cached, replace_file

PLUGINS = {"compose": "docker-compose", "buildx": "docker-buildx"}


def present(plugin: str, env: dict[str, str] | None = None) -> bool:
    """Whether `docker PLUGIN` answers."""
    if without.taken("docker") or not shutil.which("docker"):
        return False
    done = subprocess.run(["docker", plugin, "version"], capture_output=True, env=env, timeout=30)
    return done.returncode == 0


@functools.cache
def _missing() -> tuple[str, ...]:
    return tuple(name for name in PLUGINS if not present(name))


def environment() -> dict[str, str]:
    """The environment in which the docker command has its plugins (those that are there; nothing is fetched)."""
    env = dict(os.environ)
    brought = [found for name in _missing() if (found := cached(f"docker/plugins/{PLUGINS[name]}"))]
    if brought:
        env["DOCKER_CONFIG"] = str(_private({str(path.parent) for path in brought}))
    return env


def missing() -> list[str]:
    """Plugins that the docker command has neither of its own nor from us."""
    return [name for name in _missing() if not cached(f"docker/plugins/{PLUGINS[name]}")]


def bring() -> list[str]:
    """Fetch the plugins that are missing; returns what was brought.

    :raises LabError: with the command that installs them, where they cannot be fetched.
    """
    brought = []
    for plugin in missing():
        name = PLUGINS[plugin]
        fix = (
            f"sudo apt-get install docker-{plugin}-v2"
            if plugin == "compose"
            else "sudo apt-get install docker-buildx"
        )
        try:
            folder = unpack(name)
        except LabError as error:
            raise LabError(f"docker has no {plugin} plugin.", where=error.what, fix=fix) from None
        target = cache_dir() / "docker" / "plugins" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_suffix(".part")
        shutil.copyfile(folder / "usr/libexec/docker/cli-plugins" / name, part)
        part.chmod(0o755)
        part.replace(target)
        brought.append(plugin)
    return brought


def _private(folders: set[str]) -> Path:
    """A configuration like the user's, with our plugins: contexts and credentials still work."""
    theirs = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    mine = cache_dir() / "docker" / "config"
    mine.mkdir(parents=True, exist_ok=True)
    extra = config().get("cliPluginsExtraDirs")
    folders |= {str(theirs / "cli-plugins"), *(extra if isinstance(extra, list) else [])}
    wanted = json.dumps({**config(), "cliPluginsExtraDirs": sorted(folders)}).encode()
    path = mine / "config.json"
    if not path.exists() or path.read_bytes() != wanted:
        replace_file(path, wanted)
        path.chmod(0o600)  # it may hold the user's credentials
    link = mine / "contexts"
    if (theirs / "contexts").is_dir() and not link.exists():
        link.symlink_to(theirs / "contexts")
    return mine


def config() -> dict[str, object]:
    """The user's own docker configuration (empty if there is none)."""
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, object] = json.loads((folder / "config.json").read_text())
        return found
    return {}
