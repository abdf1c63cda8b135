"""Where the AWS provider comes from: a filesystem mirror that this machine has, else one in the cache, brought once from the registry."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from ...errors import Unavailable
from ...system import without
from ...system.paths import cache_dir, cached

VERSION = "5.100.0"
SOURCE = "hashicorp/aws"
HOSTS = {"terraform": "registry.terraform.io", "tofu": "registry.opentofu.org"}
MIRROR = "LLMLAB_TF_MIRROR"
_PATH = re.compile(r'filesystem_mirror\s*\{[^}]*?path\s*=\s*"([^"]+)"', re.DOTALL)


def program() -> Path:
    """Terraform, else OpenTofu, from PATH.

    :raises Unavailable: when there is neither.
    """
    if without.taken("terraform"):
        raise Unavailable(f"Terraform is {without.WORDS}.", fix=without.MEND)
    return _program()


@cache
def _program() -> Path:
    for name in HOSTS:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise Unavailable(
        "Neither terraform nor tofu is on PATH.",
        fix="brew install opentofu" if sys.platform == "darwin" else "see opentofu.org/docs/intro/install",
    )


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{sys.platform.rstrip('0123456789')}_{machine}"


def _places() -> Iterator[Path]:
    """Folders that may hold a mirror: the one named, the one in the learner's own configuration, the usual ones, the caches."""
    if os.environ.get(MIRROR):
        yield Path(os.environ[MIRROR])
        return
    home = Path.home()
    for config in (os.environ.get("TF_CLI_CONFIG_FILE"), home / ".terraformrc", home / ".tofurc"):
        if config and Path(config).is_file():
            yield from map(Path, _PATH.findall(Path(config).read_text(errors="replace")))
    yield home / ".terraform.d" / "plugins"
    for base in ("/usr/local/share", "/usr/share", "/opt"):
        yield from (path.parent for path in Path(base).glob("*/registry.terraform.io"))
        yield from (path.parent for path in Path(base).glob("terraform/plugins/registry.terraform.io"))
    ours = cached("terraform/mirror")
    if ours:
        yield ours


def found() -> Path | None:
    """The first mirror that holds the provider for this machine."""
    for place in _places():
        for host in HOSTS.values():
            home = place / host / SOURCE
            if (home / VERSION / _platform()).is_dir() or any(home.glob(f"*aws_{VERSION}_{_platform()}.zip")):
                return place
    return None


def bring(say: Callable[[str], None] = lambda _: None) -> Path:
    """The mirror; without one, `terraform providers mirror` fills one in the cache (about 130 MB, once).

    :raises Unavailable: when the registry cannot be reached, with Terraform's words.
    """
    there = found()
    if there is not None:
        return there
    if os.environ.get(MIRROR):
        raise Unavailable(
            f"{MIRROR} names a folder without the AWS provider {VERSION} for {_platform()}.",
            where=os.environ[MIRROR],
            fix=f"unset {MIRROR}, or name the folder that holds registry.terraform.io",
        )
    say(f"fetching the AWS provider {VERSION} (once, about 130 MB)")
    home = cache_dir() / "terraform"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as name:
        folder = Path(name)
        (folder / "versions.tf").write_text(
            "terraform {\n  required_providers {\n    aws = {\n"
            f'      source  = "{SOURCE}"\n      version = "{VERSION}"\n    }}\n  }}\n}}\n'
        )
        line = [str(program()), "providers", "mirror", "mirror"]
        # A configuration file that is not there, or points nowhere, is no reason to fail here.
        env = {key: value for key, value in os.environ.items() if not key.startswith("TF_")}
        done = subprocess.run(
            line,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=900,
            env=env | {"CHECKPOINT_DISABLE": "1"},
        )
        if done.returncode:
            raise Unavailable(
                f"The AWS provider {VERSION} is not here and could not be fetched.",
                where=" ".join(done.stderr.split())[-300:],
                fix=f"an internet connection, or {MIRROR}=FOLDER, the one that holds {HOSTS['terraform']}",
            )
        target = home / "mirror"
        shutil.copytree(folder / "mirror", target, dirs_exist_ok=True)
    return target


def configuration(folder: Path, mirror: Path) -> Path:
    """A CLI configuration of our own, so that the learner's (or a wrong `TF_CLI_CONFIG_FILE`) decides nothing here.

    It names a mirror of links: OpenTofu looks for the same provider under its own registry's name, and neither
    follows a link above the package itself.
    """
    home = next(one for host in HOSTS.values() if (one := mirror / host / SOURCE).is_dir())
    packages = [home / VERSION / _platform(), *home.glob(f"*aws_{VERSION}_{_platform()}.zip")]
    for host in HOSTS.values():
        for package in filter(Path.exists, packages):
            at = folder / "mirror" / host / SOURCE / package.relative_to(home)
            at.parent.mkdir(parents=True, exist_ok=True)
            at.symlink_to(package.resolve(), target_is_directory=package.is_dir())
    path = folder / "terraform.rc"
    path.write_text(
        "disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n"
        f'    path = "{folder / "mirror"}"\n  }}\n}}\n'
    )
    return path
