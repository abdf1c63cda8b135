"""What an engine says of itself: version, flags and devices, asked by running it; answers are kept."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import LabError
from ..system.paths import cache_dir, cached
from .flags import FlagTable

Kind = Literal["path", "PATH", "built", "wheel"]

# -P: the learner's folder, where this runs, must not be able to shadow a module of ours or of Python
HOST = (sys.executable, "-P", "-m", "llmlab.engine.host")
_SECONDS = 30.0  # a first --list-devices with a GPU may take seconds


@dataclass(frozen=True, slots=True)
class Probe:
    """An engine's short version and the text of its `--help`."""

    version: str
    help: str


def _run(argv: tuple[str, ...], *words: str) -> subprocess.CompletedProcess[str]:
    # LLAMA_ARG_* would be read before --help is answered, and a wrong one would be the answer
    environ = {key: value for key, value in os.environ.items() if not key.startswith("LLAMA_")}
    try:
        return subprocess.run(
            [*argv, *words],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            env=environ,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LabError(
            f"llama-server {words[0]} gave no answer in {_SECONDS:.0f} s.", where=argv[0]
        ) from None
    except OSError as error:
        # ENOEXEC: a binary of another system, or a script without its first line
        raise LabError(f"llama-server cannot be run: {error.strerror}.", where=argv[0]) from None


def _answer(kind: Kind, argv: tuple[str, ...], flag: str) -> str:
    done = _run(argv, flag)
    if done.returncode == 0:
        return done.stdout + done.stderr
    said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    if kind == "wheel":
        reason = (said[-1] if said else f"exit code {done.returncode}").removeprefix("error: ")
        raise LabError(reason[:1].upper() + reason[1:], where=" ".join(argv))
    if done.returncode == -4:  # SIGILL
        raise LabError(
            "This llama-server was built for another CPU: it dies of an illegal instruction.",
            where=argv[0],
            fix="llmlab engine build makes one for this machine",
            without="LLMLAB_ENGINE=wheel",
        )
    why = said[-1] if said else f"exit code {done.returncode}"
    raise LabError(f"llama-server {flag} failed: {why}", where=argv[0], without="LLMLAB_ENGINE=wheel")


def ask(kind: Kind, argv: tuple[str, ...]) -> Probe:
    """Version and help of an engine: asked once, then kept in the cache under what its files look like.

    :raises LabError: it cannot be run, or ends with an error: of the wheel with its own last line.
    """
    key = _identity(kind, argv)
    return _ask(kind, argv, key)


@functools.lru_cache(maxsize=32)
def _ask(kind: Kind, argv: tuple[str, ...], key: str) -> Probe:
    name = f"engine/probes/{key}.json"
    note = cache_dir() / name
    with suppress(OSError, ValueError, KeyError, TypeError):
        data = json.loads((cached(name) or note).read_text("utf-8"))
        return Probe(_version(str(data["--version"])), str(data["--help"]))
    said = {flag: _answer(kind, argv, flag) for flag in ("--version", "--help")}
    with suppress(OSError):  # only a saving
        note.parent.mkdir(parents=True, exist_ok=True)
        part = note.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps({"argv": argv, **said}), "utf-8")
        part.replace(note)
    return Probe(_version(said["--version"]), said["--help"])


def _identity(kind: Kind, argv: tuple[str, ...]) -> str:
    if kind == "wheel":
        spec = importlib.util.find_spec("xllamacpp")
        package = Path(spec.origin).parent if spec is not None and spec.origin else Path()
        files = [*sorted(package.glob("*.so")), *sorted(Path(__file__).parent.glob("host*"))]
    else:
        files = [Path(argv[0]).resolve()]
    parts = [*argv]
    for file in files:
        stat = file.stat()
        parts += [str(file), str(stat.st_size), str(stat.st_mtime_ns)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _version(text: str) -> str:
    """What `--version` says, short: "b8646 (abc123)" for an older llama.cpp, "0.5.0 (b11549, abc123)" for a
    newer one, the rest of the line for anything else."""
    new = re.search(r"version: (\S+) \(build (\d+), commit (\w+)\)", text)
    if new:
        # a build out of an archive has no number to count: 0, or 1 in a fresh repository
        return f"{new[1]} (b{new[2]}, {new[3]})" if int(new[2]) > 1 else f"{new[1]} ({new[3]})"
    old = re.search(r"version: (\d+) \((\w+)\)", text)
    if old:
        return f"b{old[1]} ({old[2]})"
    other = re.search(r"version: (.+)", text)
    return other[1].strip() if other else "of unknown version"


@functools.lru_cache(maxsize=32)
def listed(argv: tuple[str, ...]) -> str:
    """All that the engine says when it is asked for its devices; "" when it does not answer."""
    try:
        done = _run(argv, "--list-devices")
    except LabError:
        return ""
    return f"{done.stderr}\n{done.stdout}"


def devices(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The devices besides the CPU that the engine lists; () also when it does not answer."""
    _, _, said = listed(argv).partition("Available devices:")
    lines = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    return tuple(line for line in lines if ":" in line and line != "(none)")


@functools.lru_cache(maxsize=32)
def system_info(argv: tuple[str, ...]) -> str:
    """What the engine says of its build before it opens a model, here one that is none; "" when it does not answer.

    llama-server prints `system_info: … | CUDA : ARCHS = 900 | … | CPU : …` at verbosity 4, and ends when the model cannot be read.
    """
    try:
        done = _run(argv, "--model", os.devnull, "--port", "0", "--log-verbosity", "4")
    except LabError:
        return ""
    return f"{done.stderr}\n{done.stdout}"


@functools.lru_cache(maxsize=32)
def table(text: str) -> FlagTable:
    """The flags in that help text, parsed once."""
    return FlagTable.parse(text)
