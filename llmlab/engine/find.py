"""Which llama-server to use: an explicit path, PATH, our cached native build, the engine in the wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from ..system import without
from ..system.paths import cached
from . import cpu, nvidia, probe
from .cuda import BUILD, CudaView, view
from .flags import FlagTable
from .nvidia import Obstacle
from .probe import Kind

WHEEL = "xllamacpp==2026.10.11549"  # as pyproject.toml pins it
NATIVE_VERSION = "llama-cpp-python-0.3.36-r3"  # -r: of our recipe, in `native`
_CAPABILITIES = ("router", "signals", "exit-codes", "batched-bench", "cuda")


@dataclass(frozen=True, slots=True)
class Engine:
    """One way to start a llama-server. `capabilities` is a subset of router, signals, exit-codes,
    batched-bench and cuda (a CUDA device is there and this engine sees it)."""

    kind: Kind
    argv: tuple[str, ...]
    version: str
    capabilities: frozenset[str]

    def flags(self) -> FlagTable:
        """The flags of this engine's own `--help`.

        :raises LabError: when it does not answer.
        """
        return probe.table(probe.ask(self.kind, self.argv).help)

    def devices(self) -> list[str]:
        """The devices it can compute on besides the CPU, e.g. `["CUDA0: NVIDIA H100 80GB HBM3 (…)"]`."""
        return list(_devices(self.argv))

    def cuda(self) -> CudaView:
        """What it sees of CUDA, and what keeps it from the GPUs that are here."""
        return _view(self.argv)

    def beside(self, tool: str) -> Path | None:
        """Another of llama.cpp's programs next to this one ("llama-batched-bench"); None when not there."""
        if self.kind == "wheel":
            return None
        path = Path(self.argv[0]).resolve().parent / tool
        return path if os.access(path, os.X_OK) else None

    def line(self) -> str:
        """One line for a human: what it is, its version, where it lies."""
        if self.kind == "wheel":
            return f"the wheel's llama-server, {self.version}"
        where = self.argv[0].replace(str(Path.home()) + os.sep, "~" + os.sep, 1)
        return f"llama-server {self.version} ({self.kind}: {where})"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One rung of the order: the engine found there, or None; `detail` says which, or why there is none."""

    kind: Kind
    engine: Engine | None
    detail: str


def find(path: str | Path | None = None, *, need: Iterable[str] = ()) -> Engine:
    """The engine to use: `path` (or `LLMLAB_ENGINE`: a path, "PATH", "built" or "wheel"), else the first of
    llama-server on PATH, our native build, the wheel that has every capability in `need`.

    :raises LabError: nothing usable, an explicit choice that does not run or lacks a need, or a need that no
        engine here has; each with the command that mends it.
    """
    wanted = frozenset(need)
    unknown = wanted - set(_CAPABILITIES)
    if unknown:
        raise ValueError(f"unknown capabilities: {', '.join(sorted(unknown))}")
    explicit = str(path) if path is not None else os.environ.get("LLMLAB_ENGINE")
    if explicit:
        engine = _explicit(explicit, named="LLMLAB_ENGINE" if path is None else None)
        lacking = wanted - engine.capabilities
        if lacking:
            raise _lacks(lacking, engine, chosen=True)
        return engine
    found = []
    reasons = []
    for candidate in _rungs():
        if candidate.engine is None:
            reasons.append(f"{candidate.kind}: {candidate.detail}")
        elif wanted <= candidate.engine.capabilities:
            return candidate.engine
        else:
            found.append(candidate.engine)
    if found:
        best = min(found, key=lambda engine: len(wanted - engine.capabilities))
        raise _lacks(wanted - best.capabilities, best, chosen=False)
    why = "; ".join(reasons)
    raise LabError(
        "No llama-server can be started on this machine.",
        where=why,
        # the wheel is installed with llmlab: what it can lack is a library of the system's
        fix="sudo apt-get install -y libgomp1"
        if "libgomp" in why
        else "pip install xllamacpp==2026.10.11549",
        without="llmlab engine build (a C++ compiler and about ten minutes)",
    )


def candidates() -> list[Candidate]:
    """Every rung in order, found or not and why: for `llmlab engine` and the doctor."""
    explicit = os.environ.get("LLMLAB_ENGINE")
    first: list[Candidate] = []
    if explicit:
        try:
            engine = _explicit(explicit, named="LLMLAB_ENGINE")
            first.append(Candidate(engine.kind, engine, f"{engine.line()}, from LLMLAB_ENGINE"))
        except LabError as error:
            first.append(Candidate("path", None, error.what))
    else:
        first.append(Candidate("path", None, "LLMLAB_ENGINE is not set"))
    return [*first, *_rungs()]


def native_relative(*, cuda: bool) -> str:
    """Where a build of ours for this machine's CPU lies, relative to the cache."""
    return f"engine/{NATIVE_VERSION}-{'cuda' if cuda else 'native'}-{cpu.key()}"


def at(path: Path, kind: Kind = "path") -> Engine:
    """The engine of this llama-server binary.

    :raises LabError: it is missing, not executable, or does not run here.
    """
    if not path.exists():
        raise LabError(
            "There is no such llama-server.", where=str(path), fix="llmlab engine lists what is here"
        )
    if not path.is_file() or not os.access(path, os.X_OK):
        raise LabError("This llama-server is not executable.", where=str(path), fix=f"chmod +x {path}")
    argv = (str(path.absolute()),)
    found = probe.ask(kind, argv)
    has = {"signals", "exit-codes"}
    if "--models-dir" in found.help:
        has.add("router")
    if os.access(path.resolve().parent / "llama-batched-bench", os.X_OK):
        has.add("batched-bench")
    if _computes(argv):
        has.add("cuda")
    return Engine(kind, argv, found.version, frozenset(has))


def _explicit(value: str, *, named: str | None) -> Engine:
    rungs = {"wheel": _wheel, "built": _built, "PATH": _on_path}
    if value in rungs:
        candidate = next(rungs[value]())
        if candidate.engine is None:
            raise LabError(
                f"The engine asked for, {value!r}, is not usable: {candidate.detail}.", where=named
            )
        return candidate.engine
    try:
        return at(Path(value).expanduser())
    except LabError as error:
        if named is not None:
            error.where = f"{error.where} (from {named})"
        raise


def _rungs() -> Iterator[Candidate]:
    yield from _on_path()
    yield from _built()
    yield from _wheel()


def _try(kind: Kind, path: Path) -> Candidate:
    try:
        engine = at(path, kind)
        return Candidate(kind, engine, engine.line())
    except LabError as error:
        return Candidate(kind, None, f"{error.what} ({error.where})")


def _devices(argv: tuple[str, ...]) -> tuple[str, ...]:
    return () if without.taken("gpu") else probe.devices(argv)


def _view(argv: tuple[str, ...]) -> CudaView:
    return CudaView(obstacle=Obstacle(without.WORDS, without.MEND)) if without.taken("gpu") else view(argv)


def _computes(argv: tuple[str, ...]) -> bool:
    """Whether it lists a CUDA device and has machine code for it."""
    seen = _view(argv)
    return bool(seen.devices) and seen.obstacle is None


def _on_path() -> Iterator[Candidate]:
    if without.taken("binary"):
        yield Candidate("PATH", None, without.WORDS)
        return
    found = shutil.which("llama-server")
    yield _try("PATH", Path(found)) if found else Candidate("PATH", None, "no llama-server on PATH")


def _built() -> Iterator[Candidate]:
    if without.taken("binary"):
        yield Candidate("built", None, without.WORDS)
        return
    built = [cached(f"{native_relative(cuda=cuda)}/bin/llama-server") for cuda in (True, False)]
    tried = [_try("built", path) for path in built if path is not None]
    # a CUDA build without a device computes on the CPU: then the native one, tuned for it, goes first
    tried.sort(key=lambda c: c.engine is not None and "cuda" in c.engine.capabilities, reverse=True)
    if len(tried) == 2 and not (tried[0].engine and "cuda" in tried[0].engine.capabilities):
        tried.reverse()
    yield from tried or [Candidate("built", None, "not built yet: llmlab engine build")]


def _wheel() -> Iterator[Candidate]:
    if without.taken("process"):
        yield Candidate("wheel", None, without.WORDS)
        return
    if importlib.util.find_spec("xllamacpp") is None:
        yield Candidate("wheel", None, "the package xllamacpp is not installed: pip install " + WHEEL)
        return
    try:
        found = probe.ask("wheel", probe.HOST)
    except LabError as error:
        yield Candidate("wheel", None, error.what)
        return
    has = frozenset({"cuda"} if _computes(probe.HOST) else ())
    engine = Engine("wheel", probe.HOST, found.version, has)
    yield Candidate("wheel", engine, engine.line())


def _lacks(lacking: frozenset[str], engine: Engine, *, chosen: bool) -> LabError:
    what = {
        "router": "a router (several models behind one port)",
        "signals": "llama-server's own signal handling",
        "exit-codes": "llama-server's own exit codes",
        "batched-bench": "llama-batched-bench beside it",
        "cuda": "a CUDA device",
    }
    missing = " and ".join(what[name] for name in _CAPABILITIES if name in lacking)
    which = "the chosen one has not" if chosen else "none here has"
    obstacle = no_cuda(engine) if "cuda" in lacking else None
    return LabError(
        f"This needs an engine with {missing}, which {which}" + (f": {obstacle.what}." if obstacle else "."),
        where=engine.line(),
        fix=obstacle.mend if obstacle else "llmlab engine build",
    )


def no_cuda(engine: Engine) -> Obstacle:
    """What keeps this engine from a CUDA device: the machine first (no GPU, no driver), then the engine itself."""
    driver = nvidia.driver()
    if not driver.gpus and driver.obstacle is not None:
        return driver.obstacle
    return engine.cuda().obstacle or Obstacle("it lists no CUDA device", BUILD)
