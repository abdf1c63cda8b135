"""PowerDNS, HAProxy and Toxiproxy: those on PATH, else brought once into the cache. No service is installed, none starts."""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError, Unavailable
from ...system import debian, without
from ...system.go import compiler
from ...system.paths import cache_dir, cached

DEBIAN = ("pdns-server", "pdns-backend-bind", "pdns-backend-geoip", "haproxy")
TREE = "regions"
TOXIPROXY, TOXIPROXY_SUM = "2.5.0", "h1:i4LPT+qrSlKNtQf5QliVjdP08GyAH8+BUIc9gT0eahc="
_MODULE = f"github.com/Shopify/toxiproxy/v2/cmd/server@v{TOXIPROXY}"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RoutingPrograms:
    """Command lines to which arguments are added."""

    pdns: tuple[str, ...]
    haproxy: tuple[str, ...]
    toxiproxy: tuple[str, ...]


def found() -> RoutingPrograms:
    """All three, as they are here.

    :raises Unavailable: naming what is missing and the command that brings it.
    """
    _allowed()
    have = {"PowerDNS with GeoIP": _pdns(), "HAProxy": _haproxy(), "Toxiproxy": _toxiproxy()}
    lacking = [name for name, line in have.items() if line is None]
    if lacking:
        raise Unavailable(f"Not here: {', '.join(lacking)}.", fix="uv run llmlab fetch regions")
    return RoutingPrograms(*(line or () for line in have.values()))


def haproxy() -> tuple[str, ...]:
    """HAProxy alone, for who needs no more.

    :raises Unavailable: with the command that brings it.
    """
    _allowed()
    line = _haproxy()
    if line is None:
        raise Unavailable("HAProxy is not here.", fix="uv run llmlab fetch regions")
    return line


def bring(say: Say = lambda _: None) -> RoutingPrograms:
    """All three; what is on no PATH is fetched (Debian's packages, 25 MB) or built (Go, seconds), once.

    :raises LabError: when it can be neither.
    """
    _allowed()
    if _pdns() is None or _haproxy() is None:
        say("PowerDNS and HAProxy from Debian's packages (25 MB, once)")
        if not sys.platform.startswith("linux"):
            raise Unavailable(
                "PowerDNS with its GeoIP backend is not on PATH, and Debian's package of it runs on Linux only.",
                fix="brew install pdns haproxy toxiproxy, where that pdns has the backends bind and geoip",
                without="Linux, or WSL2",
            )
        try:
            debian.unpack_all(TREE, DEBIAN)
        except LabError as error:
            raise Unavailable(
                error.what,
                where=error.where,
                fix=error.fix or f"install {', '.join(DEBIAN)} as your distribution names them",
            ) from error
    if _toxiproxy() is None:
        _build(say)
    return found()


def _allowed() -> None:
    if without.taken("regions"):
        raise Unavailable(f"The programs of the regions are {without.WORDS}.", fix=without.MEND)


@functools.cache
def _modules(path: str) -> bool:
    """Whether a pdns_server has both backends."""
    done = subprocess.run([path, "--list-modules", "--launch="], capture_output=True, text=True, timeout=20)
    listed = set((done.stdout + done.stderr).split())
    return {"bind", "geoip"} <= listed


def _pdns() -> tuple[str, ...] | None:
    sbin = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    mine = shutil.which("pdns_server", path=sbin)
    if mine and _modules(mine):
        return (mine,)
    tree = debian.closure(TREE)
    if tree is None:
        return None
    (backends,) = tree.glob("usr/lib/*/pdns")
    return (*debian.command(tree, "usr/sbin/pdns_server"), f"--module-dir={backends}")


def _haproxy() -> tuple[str, ...] | None:
    sbin = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    mine = shutil.which("haproxy", path=sbin)
    if mine:
        return (mine,)
    tree = debian.closure(TREE)
    return tuple(debian.command(tree, "usr/sbin/haproxy")) if tree else None


def _toxiproxy() -> tuple[str, ...] | None:
    mine = shutil.which("toxiproxy-server")
    built = cached(f"regions/toxiproxy-{TOXIPROXY}")
    return (mine,) if mine else (str(built),) if built else None


def _build(say: Say) -> None:
    """Toxiproxy, which is written in Go; the module is the one whose hash stands above.

    :raises Unavailable: without Go, or when it cannot be built.
    """
    go = compiler()
    if not go:
        fix = "brew install toxiproxy" if sys.platform == "darwin" else "sudo apt-get install golang-go"
        raise Unavailable("Toxiproxy is not on PATH, and there is no Go to build it.", fix=fix)
    say(f"toxiproxy {TOXIPROXY}: built with Go, once")
    home = cache_dir() / "regions"
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as name:
        env = {**os.environ, "GOBIN": name, "GOFLAGS": ""}
        done = subprocess.run([go, "install", _MODULE], capture_output=True, text=True, env=env, timeout=900)
        made = Path(name) / "server"
        if done.returncode or not made.is_file():
            raise Unavailable("Toxiproxy could not be built.", where=done.stderr.strip()[-300:])
        about = subprocess.run([go, "version", "-m", str(made)], capture_output=True, text=True, timeout=60)
        if not re.search(
            rf"toxiproxy/v2\s+v{re.escape(TOXIPROXY)}\s+{re.escape(TOXIPROXY_SUM)}", about.stdout
        ):
            raise Unavailable(
                "The module that Go fetched for Toxiproxy is not the one that llmlab knows.",
                where=about.stdout[:300],
            )
        made.replace(home / f"toxiproxy-{TOXIPROXY}")
