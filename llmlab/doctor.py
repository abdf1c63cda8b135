"""What this machine can run, what is missing, and the command that mends it.

Each need is one function that tries the thing itself (a daemon answers, a cgroup can be made), because a
program on PATH says little. Labs, tests (`needs` markers) and `llmlab doctor` share these answers; `LLMLAB_WITHOUT` takes
needs away (see `without`).
"""

from __future__ import annotations

import functools
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .system import jail, without

MAC = sys.platform == "darwin"


@dataclass(frozen=True, slots=True)
class Need:
    """One need: whether it is met here, what was seen, and the command that brings it."""

    name: str
    met: bool
    detail: str
    mend: str = ""


def _program(name: str, *argv: str, timeout: float = 10) -> tuple[bool, str]:
    path = shutil.which(name)
    if not path:
        return False, f"{name} is not on PATH"
    try:
        done = subprocess.run([path, *argv], capture_output=True, text=True, timeout=timeout)
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, f"{path}: {error}"
    text = (done.stdout or done.stderr).strip().splitlines()
    return done.returncode == 0, text[0] if text else path


def _process() -> Need:
    from . import engine
    from .errors import LabError

    try:
        return Need("process", True, engine.find().line())
    except LabError as error:
        return Need("process", False, error.what, error.fix or "llmlab engine")


def _binary() -> Need:
    from . import engine

    # Whatever LLMLAB_ENGINE chooses for serving: this asks whether there is one at all.
    for one in engine.candidates():
        if one.engine is not None and {"router", "signals", "exit-codes"} <= one.engine.capabilities:
            return Need("binary", True, one.engine.line())
    return Need("binary", False, "the wheel's engine only (no router, no exit codes)", "llmlab engine build")


def _compiler() -> Need:
    found = next((name for name in ("c++", "g++", "clang++") if shutil.which(name)), None)
    if found:
        return Need("compiler", *_program(found, "--version"))
    return Need(
        "compiler", False, "no C++ compiler", "xcode-select --install" if MAC else "sudo apt-get install g++"
    )


def _docker() -> Need:
    from .errors import LabError
    from .tiers.docker import daemon, plugins

    try:
        about = daemon.client().info()
    except LabError as error:
        return Need("docker", False, error.what.rstrip("."), error.fix or "see docs.docker.com")
    lacking = plugins.missing()
    if lacking:
        return Need("docker", False, f"docker has no {' and no '.join(lacking)} plugin", "llmlab images")
    return Need("docker", True, f"Docker {about['ServerVersion']} on {about['OperatingSystem']}")


def _images() -> Need:
    from .errors import LabError
    from .tiers.docker import images

    try:
        lacking = images.missing([one.name for one in images.CATALOGUE])
    except LabError as error:
        return Need("images", False, error.what.rstrip("."), error.fix or "see docs.docker.com")
    if lacking:
        return Need("images", False, f"not brought yet: {', '.join(lacking)}", "llmlab images")
    return Need("images", True, f"the {len(images.CATALOGUE)} images of the container labs")


def _kubernetes() -> Need:
    from .tiers.kubernetes.drivers import choose, simulated
    from .tiers.kubernetes.programs import binaries

    found = {name: why for name, why in choose.available().items() if name != "context"}
    usable = [name for name, why in found.items() if why is None]
    if usable and not binaries.missing(["kwok"]):  # whose nodes stand beside a real one, too
        later = binaries.lacking_addons()
        more = f"; built when a lab asks for it: {', '.join(later)}" if later else ""
        return Need("kubernetes", True, f"{', '.join(usable)} (llmlab cluster up){more}")
    if binaries.missing(simulated.PROGRAMS):
        return Need(
            "kubernetes", False, "the programs of a cluster are not built yet", "uv run llmlab cluster build"
        )
    return Need(
        "kubernetes",
        False,
        "; ".join(f"{name}: {why}" for name, why in found.items()),
        "uv run llmlab cluster status",
    )


def _pods() -> Need:
    from .tiers.kubernetes.drivers import choose, local
    from .tiers.kubernetes.programs import binaries

    forced = os.environ.get(choose.VARIABLE)
    if forced == "simulated":
        return Need(
            "pods",
            False,
            f"{choose.VARIABLE} asks for a simulated cluster, on which no pod runs",
            f"unset {choose.VARIABLE}",
        )
    found = choose.available()
    usable = [name for name in ("local", "kind") if found[name] is None and forced in (None, "", name)]
    if forced == "context":
        usable = ["context"]
    if usable:
        return Need("pods", True, f"{', '.join(usable)}: pods really run")
    built = local.unusable() is None
    mend = (
        "uv run llmlab cluster build"
        if built and binaries.missing(local.PROGRAMS)
        else "root on Linux, or kind with Docker"
    )
    return Need("pods", False, "; ".join(f"{name}: {found[name]}" for name in ("local", "kind")), mend)


def _terraform() -> Need:
    from .tiers.aws import mirror

    for name in mirror.HOSTS:
        if shutil.which(name):
            met, detail = _program(name, "version")
            if met and mirror.found() is None:
                lacking = f"{detail}, without the AWS provider {mirror.VERSION}"
                return Need("terraform", False, lacking, "uv run llmlab terraform")
            return Need("terraform", met, detail)
    return Need(
        "terraform",
        False,
        "neither terraform nor tofu on PATH",
        "brew install opentofu" if MAC else "see opentofu.org/docs/intro/install",
    )


def _node() -> Need:
    met, detail = _program("node", "--version")
    return Need("node", met, detail, "brew install node" if MAC else "sudo apt-get install nodejs npm")


def _edge() -> Need:
    from .tiers.edge import workerd

    here = workerd.found()
    if here is None:
        return Need("edge", False, "workerd is neither on PATH nor fetched yet", "uv run llmlab regions")
    return Need("edge", True, f"workerd {workerd.VERSION}" if "llmlab" in str(here) else str(here))


def _regions() -> Need:
    from .errors import LabError
    from .tiers.regions import distance, places, programs

    try:
        programs.found()
        distance.free_on([one.address for one in places.regions().values()])
    except LabError as error:
        return Need("regions", False, error.what.rstrip("."), error.fix or "uv run llmlab regions")
    return Need("regions", True, "PowerDNS with GeoIP, HAProxy, Toxiproxy")


def _root() -> Need:
    if not sys.platform.startswith("linux"):
        return Need(
            "root",
            False,
            f"only Linux has the namespaces that this needs ({platform.system()} here)",
            "use a Linux machine",
        )
    return Need("root", os.geteuid() == 0, f"uid {os.geteuid()}", "sudo -E uv run llmlab")


def _gpu() -> Need:
    met, detail = _program("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
    return Need(
        "gpu", met, detail, "" if met else "an NVIDIA driver (nvidia-smi), then llmlab engine build --cuda"
    )


def browser_path() -> str | None:
    """A Chromium that Playwright can drive, from LLMLAB_BROWSER or PATH."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    if without.taken("browser"):
        return None
    return os.environ.get("LLMLAB_BROWSER") or next(filter(None, map(shutil.which, names)), None)


def _browser() -> Need:
    path = browser_path()
    mend = "brew install --cask chromium" if MAC else "sudo apt-get install chromium"
    if not path:
        return Need("browser", False, "no Chromium on PATH", mend)
    return Need("browser", *_program(path, "--version"), mend)


def _cpu_quota() -> Need:
    from .serve.limits import available

    limiter = available().get("whole-cpus")
    fractions = available().get("fractional-cpus")
    if fractions:
        return Need("cpu-quota", True, f"{fractions}: any fraction of a core")
    if limiter:
        return Need("cpu-quota", True, f"{limiter}: whole CPUs only")
    return Need(
        "cpu-quota",
        False,
        f"nothing on {platform.system()} here holds a process to a CPU quota",
        "use Linux (or WSL2)",
    )


def _memory_quota() -> Need:
    from .serve.limits import available

    limiter = available().get("memory")
    if limiter:
        return Need("memory-quota", True, f"{limiter}: going over it ends the process")
    return Need(
        "memory-quota",
        False,
        "memory is measured here, not enforced",
        "run as root, or under a systemd user session",
    )


def _sandbox() -> Need:
    if MAC:
        return Need(
            "sandbox", False, "macOS has no namespaces: submissions run in a process group", "grade on Linux"
        )
    why = jail.trouble()
    if why is None:
        return Need("sandbox", True, "bubblewrap: each submission has its own processes, network and files")
    if not shutil.which("bwrap"):
        detail = f"{why}: submissions run in a process group"
        return Need("sandbox", False, detail, "sudo apt-get install bubblewrap")
    mend = "sudo sysctl kernel.unprivileged_userns_clone=1, or run as root outside a container"
    return Need("sandbox", False, why, mend)


NEEDS: dict[str, Callable[[], Need]] = {
    "process": _process,
    "cpu-quota": _cpu_quota,
    "memory-quota": _memory_quota,
    "binary": _binary,
    "compiler": _compiler,
    "gpu": _gpu,
    "docker": _docker,
    "images": _images,
    "kubernetes": _kubernetes,
    "pods": _pods,
    "terraform": _terraform,
    "node": _node,
    "edge": _edge,
    "regions": _regions,
    "sandbox": _sandbox,
    "root": _root,
    "browser": _browser,
}


def need(name: str) -> Need:
    """Look one need up; tried once per process. What `LLMLAB_WITHOUT` takes away is not met.

    :raises LabError: where that variable names something that is no need.
    """
    if name not in NEEDS:
        raise ValueError(f"unknown need {name!r}; there are {', '.join(NEEDS)}")
    return Need(name, False, without.WORDS, without.MEND) if without.taken(name) else _tried(name)


@functools.cache
def _tried(name: str) -> Need:
    return NEEDS[name]()


def report() -> dict[str, Any]:
    """Everything `llmlab doctor` knows, as plain data."""
    from . import __version__, engine, machine

    needs = [need(name) for name in NEEDS]
    described = machine.describe()
    return {
        "schema": "llmlab/doctor/1",
        "llmlab": __version__,
        "machine": {"line": described.line, "system": described.system, "profile": described.profile},
        "engines": [
            {"kind": one.kind, "found": one.engine is not None, "detail": one.detail}
            for one in engine.candidates()
        ],
        "needs": [asdict(one) for one in needs],
    }
