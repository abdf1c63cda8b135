"""Debian 13 packages, unpacked into the cache through an apt configuration of our own: one alone, or some with all they depend on.

Nothing is installed on the machine, and no service of theirs starts. Needs apt and dpkg (Debian, Ubuntu).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import LabError
from .paths import cache_dir, cached

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


def mirror() -> str:
    """Debian's mirror as this machine is configured, else the one everybody has."""
    for path in SOURCES:
        if path.is_file():
            for word in path.read_text().split():
                if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                    return word
    return "http://deb.debian.org/debian"


def unpack(package: str, suite: str = SUITE) -> Path:
    """A package's files, unpacked below the cache; fetched once.

    :raises LabError: without apt, or when it cannot be fetched.
    """
    target = cache_dir() / "debian" / suite / package
    if not target.is_dir():
        with _apt(package, suite) as (folder, env):
            _run(["apt-get", "download", "-qq", package], package, env, folder / "out")
            _place(sorted((folder / "out").glob("*.deb")), target)
    return target


def closure(name: str, suite: str = SUITE) -> Path | None:
    """Where `unpack_all` has put something, if it has."""
    return cached(f"debian/{suite}/{name}.all")


def unpack_all(name: str, packages: Sequence[str], suite: str = SUITE) -> Path:
    """Packages with all that they depend on, libc and its loader too, as a tree that runs on any distribution.

    :raises LabError: without apt, or when they cannot be fetched.
    """
    found = closure(name, suite)
    if found is not None:
        return found
    target = cache_dir() / "debian" / suite / f"{name}.all"
    with _apt(name, suite) as (folder, env):
        line = ["apt-get", "install", "-qq", "-y", "--download-only", "--no-install-recommends", *packages]
        _run(line, ", ".join(packages), env, folder)
        _place(sorted((folder / "cache/archives").glob("*.deb")), target)
    return target


def command(tree: Path, program: str) -> list[str]:
    """The command line that runs a program of such a tree, with the tree's own libraries and not this machine's."""
    (loader,) = tree.glob("usr/lib*/*/ld-linux-*.so.*")
    return [str(loader), "--library-path", str(loader.parent), str(tree / program)]


@contextlib.contextmanager
def _apt(what: str, suite: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """An apt of its own that knows one suite and has nothing installed."""
    for program in ("apt-get", "dpkg"):
        if not shutil.which(program):
            raise LabError(f"{what} comes from Debian's packages, and there is no {program} here.")
    if not KEYRING.is_file():
        raise LabError(
            f"{what} comes from Debian's packages, whose keys are not here.",
            fix="sudo apt-get install debian-archive-keyring",
        )
    with tempfile.TemporaryDirectory(prefix="llmlab-apt-") as name:
        folder = Path(name)
        for subfolder in ("lists/partial", "cache/archives/partial", "out"):
            (folder / subfolder).mkdir(parents=True)
        (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
        (folder / "apt.conf").write_text(
            f'Dir::State "{folder}"; Dir::State::lists "{folder}/lists"; Dir::Cache "{folder}/cache";\n'
            f'Dir::Etc::SourceList "{folder}/sources.list"; Dir::Etc::SourceParts "-";\n'
            f'Dir::State::status "{folder}/status"; APT::Sandbox::User "root"; Acquire::Languages "none";\n'
            'Debug::NoLocking "true";\n'
        )
        (folder / "status").touch()
        env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
        _run(["apt-get", "update", "-qq"], what, env, folder)
        yield folder, env


def _run(argv: list[str], what: str, env: dict[str, str], cwd: Path) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, env=env, cwd=cwd, timeout=300)
    if done.returncode:
        raise LabError(
            f"{what} could not be fetched from Debian's packages.", where=done.stderr.strip()[-300:]
        )


def _place(packages: Sequence[Path], target: Path) -> None:
    """Unpack beside the target, then rename: it is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        for package in packages:
            subprocess.run(["dpkg", "-x", str(package), str(part)], check=True, capture_output=True)
        part.chmod(0o755)
        if not target.is_dir():
            part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
