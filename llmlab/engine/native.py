"""A native llama-server out of the pinned source package, built for this machine and kept in the cache.

The source is the sdist of `llama-cpp-python`, which carries llama.cpp whole: pip fetches it from whatever
index it is set to use, and refuses any file but the pinned one. A C++ compiler is all the system must bring.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import LabError
from ..system import without
from ..system.paths import cache_dir
from ..system.unpack import unpack
from . import cpu, toolkit
from .architectures import fit
from .cuda import forget, noted
from .find import Engine, at, native_relative
from .nvidia import driver
from .toolkit import CudaToolkit

REQUIREMENT = "llama-cpp-python==0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_SDIST = "llama_cpp_python-0.3.36"
_LLAMA_CPP = "vendor/llama.cpp"
# the commit of llama.cpp inside the sdist (its CHANGELOG.md): an sdist has no git to ask
_COMMIT = "0c1e57098"
TARGETS = ("llama-server", "llama-batched-bench", "llama-quantize")
Say = Callable[[str], None]

_FLAGS = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=OFF",
    "-DGGML_NATIVE=ON",
    "-DGGML_CCACHE=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_USE_PREBUILT_UI=OFF",
    "-DLLAMA_OPENSSL=OFF",
    # said here, else cmake asks the git repository the cache may happen to lie in
    "-DLLAMA_BUILD_NUMBER=0",
    f"-DLLAMA_BUILD_COMMIT={_COMMIT}",
)
_COMPILER = (
    "sudo apt-get install -y g++ (Debian, Ubuntu, WSL2); xcode-select --install (macOS); "
    "conda install -c conda-forge cxx-compiler"
)


@dataclass(frozen=True, slots=True)
class _Tools:
    cmake: str
    ninja: str
    environ: Mapping[str, str]
    cuda: CudaToolkit | None


def build(*, cuda: bool = False, say: Say | None = None, jobs: int | None = None) -> Engine:
    """Build llama-server, llama-batched-bench and llama-quantize into the cache; about ten CPU-minutes.

    Progress goes to `say` ("[127/210] …"). An interrupted build goes on where it stopped, and what is built
    already is returned at once. The build runs at low priority, with as many `jobs` as there are CPUs and
    memory for. With `cuda` it makes machine code for the GPUs that are here, or those that CUDAARCHS names, and none else.

    :raises LabError: no compiler (or, with `cuda`, no toolkit for these GPUs: `toolkit.chosen`), pip's or the compiler's failure
        with its first error, another build under way, or a full disk.
    """
    tell = say or (lambda _line: None)
    target = cache_dir() / native_relative(cuda=cuda)
    binary = target / "bin" / "llama-server"
    if binary.exists() and not (cuda and _for_other_gpus(binary)):
        tell(f"already built: {binary}")
        return at(binary, "built")
    compiler = _compiler()
    nvcc = toolkit.chosen() if cuda else None
    work = target.parent / f".build-{target.name}"
    try:
        work.mkdir(parents=True, exist_ok=True)
        with _alone(work):
            tools = _tools(work, nvcc, tell)
            source = _source(work, tell)
            _compile(work, source, tools, jobs or _jobs(), tell)
            _install(work, target, compiler, tools)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise LabError(
            "The disk is full: the build needs about 1.5 GB while it runs and keeps 50 MB.",
            where=str(work),
            fix="free some space, or set LLMLAB_CACHE to another folder; then again: it goes on where it was",
        ) from None
    shutil.rmtree(work, ignore_errors=True)
    forget()
    engine = at(binary, "built")
    tell(f"built: {engine.line()}")
    return engine


def _for_other_gpus(binary: Path) -> bool:
    """Whether a build with CUDA holds no machine code for a GPU of this machine: another one was put in since."""
    held = noted((str(binary),))
    return bool(held) and any(fit(capability, held) != "code" for capability in driver().capabilities)


def _compiler() -> str:
    wanted = os.environ.get("CXX")
    for name in [wanted] if wanted else ["c++", "g++", "clang++"]:
        found = None if without.taken("compiler") else shutil.which(name)
        if found:
            return found
    raise LabError(
        "There is no C++ compiler to build with.",
        where=f"CXX={wanted}" if wanted else "looked for c++, g++ and clang++ on PATH",
        fix=_COMPILER,
        without="the wheel's engine needs no compiler: LLMLAB_ENGINE=wheel",
    )


def _jobs() -> int:
    import psutil

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # the largest of llama.cpp's sources take about 1.2 GB of the compiler
    return max(1, min(cpus, int(psutil.virtual_memory().available / 1.2e9)))


@contextmanager
def _alone(work: Path) -> Iterator[None]:
    """Hold the build folder: two builds at once would write each other's objects."""
    with (work / "lock").open("a+") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # Windows: the course runs in WSL2 there
            pass
        except OSError:
            lock.seek(0)
            raise LabError(
                "Another build is under way.",
                where=f"process {lock.read().strip() or '?'}, {work}",
                fix="wait for it: llmlab engine shows when it is done",
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _tools(work: Path, nvcc: CudaToolkit | None, tell: Say) -> _Tools:
    environ = dict(os.environ)
    found = {name: shutil.which(name) for name in ("cmake", "ninja")}
    lacking = [name for name, path in found.items() if path is None]
    if lacking:
        folder = work / "tools"
        if not all((folder / "bin" / name).exists() for name in lacking):
            tell(f"fetching {' and '.join(lacking)} with pip")
            _pip(
                "install",
                "--quiet",
                "--target",
                str(folder),
                "--upgrade",
                *lacking,
                what=" and ".join(lacking),
            )
        found.update({name: str(folder / "bin" / name) for name in lacking})
        # what pip puts into bin/ are Python scripts that import what lies beside
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH"))))
    return _Tools(str(found["cmake"]), str(found["ninja"]), environ, nvcc)


def _pip(command: str, *words: str, what: str) -> None:
    argv = [sys.executable, "-m", "pip", command, "--disable-pip-version-check", "--no-input"]
    done = subprocess.run(
        [*argv, "--progress-bar", "off", *words],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in said if line.startswith("ERROR:")] or said[-1:] or ["no message"]
        raise LabError(
            f"pip could not fetch {what}.",
            where=errors[0],
            fix="check the network, or pip's index settings: python -m pip config list",
            without="the wheel's engine is here already: LLMLAB_ENGINE=wheel",
        )


def _source(work: Path, tell: Say) -> Path:
    """The unpacked source; downloaded and unpacked once, whatever happens to the build."""
    source = work / "source"
    if source.exists():
        return source
    tell(f"downloading {REQUIREMENT} (77 MB) with pip")
    wanted = work / "requirements.txt"
    wanted.write_text(f"{REQUIREMENT} --hash=sha256:{SHA256}\n")
    # not ":all:": pip asks the sdist for its metadata, and that needs a build backend, best as a wheel
    words = ["--no-deps", "--no-binary", "llama-cpp-python", "--require-hashes"]
    _pip("download", *words, "-r", str(wanted), "-d", str(work), what=REQUIREMENT)
    tell("unpacking")
    part = work / "unpacking"
    shutil.rmtree(part, ignore_errors=True)
    sdist = work / f"{_SDIST}.tar.gz"
    with tarfile.open(sdist) as archive:
        unpack(archive, part)
    (part / _SDIST / _LLAMA_CPP).rename(source)
    shutil.rmtree(part, ignore_errors=True)
    sdist.unlink()
    return source


def configure_argv(source: Path, out: Path, tools: _Tools) -> list[str]:
    """The cmake command that configures the build."""
    argv = [tools.cmake, "-G", "Ninja", "-S", str(source), "-B", str(out), *_FLAGS]
    argv.append(f"-DCMAKE_MAKE_PROGRAM={tools.ninja}")
    if sys.platform == "linux":
        # needs nothing but libc and libm of whatever Linux it is copied to
        argv.append("-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc")
    argv += _openmp()
    if cpu.amx_fails(os.environ.get("CXX") or shutil.which("c++") or "g++"):
        argv += [f"-DCMAKE_C_FLAGS={cpu.NO_AMX}", f"-DCMAKE_CXX_FLAGS={cpu.NO_AMX}"]
    if tools.cuda is not None:
        argv += [
            "-DGGML_CUDA=ON",
            f"-DCMAKE_CUDA_COMPILER={tools.cuda.nvcc}",
            f"-DCMAKE_CUDA_ARCHITECTURES={';'.join(tools.cuda.architectures)}",
        ]
    return argv


def _openmp() -> list[str]:
    """OpenMP as upstream's own builds have it, linked statically so that nothing must be installed; off without it.

    ggml's own thread pool spins: with more threads than CPUs it all but stops (0 tokens/s where OpenMP's
    barrier, which goes to sleep, is 5 to 10 times slower than one thread).
    """
    compiler = shutil.which("c++") or shutil.which("g++")
    if sys.platform != "linux" or compiler is None:
        return ["-DGGML_OPENMP=OFF"]
    asked = subprocess.run(
        [compiler, "-print-file-name=libgomp.a"], capture_output=True, text=True, check=False
    )
    library = Path(asked.stdout.strip() or "libgomp.a")
    if not (library.is_absolute() and library.exists()):
        return ["-DGGML_OPENMP=OFF"]
    return ["-DGGML_OPENMP=ON", f"-DOpenMP_gomp_LIBRARY={library}"]


def _compile(work: Path, source: Path, tools: _Tools, jobs: int, tell: Say) -> None:
    out = work / "out"
    nice = shutil.which("nice")
    quietly = [nice, "-n", "10"] if nice else []
    # with CUDA always: what an interrupted build was for may be another GPU than is here now
    if tools.cuda is not None or not (out / "build.ninja").exists():
        tell("configuring")
        _follow(configure_argv(source, out, tools), tools.environ, work / "configure.log", lambda _line: None)
    tell(f"compiling with {jobs} jobs")
    argv = [*quietly, tools.ninja, "-C", str(out), "-j", str(jobs), *TARGETS]
    _follow(
        argv, tools.environ, work / "build.log", lambda line: tell(_short(line)) if line[:1] == "[" else None
    )


def _short(line: str) -> str:
    """A ninja line as "[127/210] server-context.cpp"."""
    step, _, rest = line.partition("] ")
    last = rest.split()[-1] if rest.split() else ""
    return f"{step}] {Path(last).name.removesuffix('.o')}"


def _follow(argv: Sequence[str], environ: Mapping[str, str], log: Path, line_to: Say) -> None:
    """Run a command, its output into `log` and line by line to `line_to`; it ends with us."""
    with log.open("w") as sink:
        process = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=dict(environ),
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                sink.write(line)
                line_to(line.rstrip())
            code = process.wait()
        finally:
            # an interrupt, or an error in `say`: ninja ends its compilers when it is told to end
            if process.poll() is None:
                process.terminate()
                process.wait()
            process.stdout.close()
    if code != 0:
        text = log.read_text(errors="replace").splitlines()
        marks = (" error:", "CMake Error", "fatal error", "No space left", "Killed")
        place = next((n for n, line in enumerate(text) if any(mark in line for mark in marks)), len(text))
        first = " ".join(line.strip() for line in text[place : place + 1])
        if "CMake Error" in first:  # what it is stands below where it is
            first += " " + next((line.strip() for line in text[place + 1 :] if line.strip()), "")
        if "No space left" in first:
            raise OSError(errno.ENOSPC, first)
        raise LabError(
            "llama-server could not be built.",
            where=f"{first or (text[-1] if text else f'exit code {code}')} (all of it: {log})",
            fix="mend that, then again: the build goes on where it stopped",
            without="the wheel's engine is here already: LLMLAB_ENGINE=wheel",
        )


def _install(work: Path, target: Path, compiler: str, tools: _Tools) -> None:
    """Move the binaries to their place in one step, once the server has answered."""
    part = work / "install"
    shutil.rmtree(part, ignore_errors=True)
    (part / "bin").mkdir(parents=True)
    for name in TARGETS:
        shutil.copy2(work / "out" / "bin" / name, part / "bin" / name)
        strip = shutil.which("strip")
        if strip:
            subprocess.run([strip, str(part / "bin" / name)], check=False, capture_output=True)
    at(part / "bin" / "llama-server", "built")  # a binary that does not run is never installed
    shutil.copy2(work.joinpath("source", "LICENSE"), part / "LICENSE")
    note = {
        "source": REQUIREMENT,
        "sha256": SHA256,
        "commit": _COMMIT,
        "compiler": compiler,
        "nvcc": tools.cuda.nvcc if tools.cuda else None,
        "cuda": tools.cuda.version if tools.cuda else None,
        "architectures": list(tools.cuda.architectures) if tools.cuda else None,
    }
    (part / "build.json").write_text(json.dumps({**note, "flags": list(_FLAGS)}, indent=2) + "\n")
    with suppress(FileNotFoundError):
        shutil.rmtree(target)
    part.rename(target)
