"""workerd, the runtime of Cloudflare Workers: from PATH, else fetched once into the cache as npm's package for this machine."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from ...errors import Unavailable
from ...system import without
from ...system.paths import cache_dir, cached
from ...system.unpack import unpack

VERSION = "1.20261117.1"
_PLATFORMS = {
    ("linux", "x86_64"): "linux-64",
    ("linux", "aarch64"): "linux-arm64",
    ("darwin", "x86_64"): "darwin-64",
    ("darwin", "arm64"): "darwin-arm64",
}


def found() -> Path | None:
    """Where it is, if it is here."""
    if without.taken("edge"):
        return None
    on_path = shutil.which("workerd")
    return Path(on_path) if on_path else cached(f"workerd/{VERSION}/workerd")


def bring(say: Callable[[str], None] = lambda _: None) -> Path:
    """The program; fetched with npm (47 MB, once), which checks what it fetched against the registry's digest.

    :raises Unavailable: without npm, or when it cannot be fetched.
    """
    here = found()
    if here is not None:
        return here
    if without.taken("edge"):
        raise Unavailable(f"workerd is {without.WORDS}.", fix=without.MEND)
    mine = (sys.platform.rstrip("0123456789"), platform.machine())
    if mine not in _PLATFORMS:
        raise Unavailable(f"There is no workerd for {' '.join(mine)}.", without="Linux, macOS or WSL2")
    npm = None if without.taken("node") else shutil.which("npm")
    if not npm:
        fix = "brew install node" if sys.platform == "darwin" else "sudo apt-get install nodejs npm"
        raise Unavailable("workerd comes as an npm package, and there is no npm here.", fix=fix)
    package = f"@cloudflare/workerd-{_PLATFORMS[mine]}@{VERSION}"
    say(f"fetching {package} (47 MB, once)")
    home = cache_dir() / "workerd"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as name:
        done = subprocess.run(
            [npm, "pack", "--silent", package], cwd=name, capture_output=True, text=True, timeout=600
        )
        packed = next(Path(name).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise Unavailable(f"{package} could not be fetched.", where=done.stderr.strip()[-300:])
        with tarfile.open(packed) as archive:
            unpack(archive, name)
        program = Path(name) / "package" / "bin" / "workerd"
        program.chmod(0o755)
        (home / VERSION).mkdir(exist_ok=True)
        program.replace(home / VERSION / "workerd")
    return home / VERSION / "workerd"
