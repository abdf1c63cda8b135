"""A sandbox for one step of one submission: bubblewrap where it can run, else a process group under a warden.

In bubblewrap: namespaces of its own (processes, network with its own loopback, mounts, IPC), no capability, a read-only
view of Python, of llmlab and of what the caller names, scratch space with a size limit, an environment made from nothing.

The checks of a container lab need the Docker daemon, and whoever has that is root: only the lab's own code runs there, in a
process group, and what was handed in runs in containers (`llmlab.tiers.docker.vet` says what those may ask for).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from .. import doctor
from ..checks.talk import Talk, converse
from ..course.info import LabInfo
from ..system import jail, owned
from ..system.paths import cache_dir, shared_cache_dirs, state_dir
from . import daemon
from .cage import Allowance, Cage
from .view import COURSE, WORK, cached, own_environment, python, users, walled
from .warden import OPEN_FILES
from .warm import warm

_ETC = (
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "fonts",
    "ssl",
    "ca-certificates",
    "localtime",
)
CONTAINERS = "containers"
#: Which cluster the checks use, where the grader says so.
CLUSTER = ("LLMLAB_CLUSTER", "LLMLAB_CONTEXT", "LLMLAB_NAMESPACE")


_open: weakref.WeakSet[Sandbox] = weakref.WeakSet()


def end_all() -> None:
    """Kill what runs in every open sandbox of this process: its owner was interrupted."""
    for box in list(_open):
        box.kill()


class Sandbox:
    """`with Sandbox(lab=...) as box: process = box.popen([...])`; when it is left, nothing of it is left.

    :param lab: the lab's folder, seen as `/course/labs/NN-slug`; its solution is not there.
    :param read: further files and folders, seen read-only under their own paths.
    :param env: variables besides the few it needs; nothing is inherited.
    :param containers: for the checks of a container lab: with the Docker daemon, so without bubblewrap. What was made in
        the daemon is gone when it is left.
    """

    def __init__(
        self,
        *,
        lab: Path,
        read: Sequence[Path] = (),
        env: Mapping[str, str] | None = None,
        allowance: Allowance | None = None,
        label: str = "sandbox",
        containers: bool = False,
    ) -> None:
        self.lab = lab
        self.read = [path.resolve() for path in read]
        self.allowance = allowance or Allowance()
        self.label = label
        self.cage = Cage(self.allowance)
        self.kind = CONTAINERS if containers else _kind()
        self._mine = uuid.uuid4().hex[:10]
        self._left: list[str] = []  # in the daemon, which could not be removed
        self._env = dict(env or {})
        self._scratch: Path | None = None
        self._processes: list[subprocess.Popen[bytes]] = []
        self._leash: list[int] = []
        self._entries: list[Path] = []

    @property
    def talk(self) -> Talk:
        """How the program in it is heard."""
        return converse

    def kill(self) -> None:
        """End everything in it now; leaving the `with` block then tidies up."""
        for process in self._processes:
            with contextlib.suppress(OSError):
                process.kill()

    def __enter__(self) -> Sandbox:
        _open.add(self)
        self.cage.__enter__()
        self._scratch = Path(tempfile.mkdtemp(prefix="llmlab-sandbox-")).resolve()
        copy_lab(self.lab, self._scratch / "course")
        return self

    @property
    def course(self) -> Path:
        """The course's folder as what runs inside sees it."""
        return COURSE if self.kind == "bubblewrap" else self._folder() / "course"

    @property
    def work(self) -> Path:
        """The scratch folder as what runs inside sees it."""
        return WORK if self.kind == "bubblewrap" else self._folder()

    def _folder(self) -> Path:
        assert self._scratch is not None, "with Sandbox(...) as box"
        return self._scratch

    def popen(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Start `python ARGUMENTS` inside, with three pipes. `cwd` is seen read-only, besides `read`."""
        read = [*self.read, *([cwd] if cwd else [])]
        python = [sys.executable, "-P", *arguments]
        leash: tuple[int, ...] = ()
        environment = self._environment()
        if self.kind == "bubblewrap":
            line = [*self._bubblewrap(read, cwd), *_limits(self.allowance, self.cage), *python]
            environment = {
                "PATH": os.environ.get("PATH", "/usr/bin:/bin")
            }  # bwrap's own; --clearenv does the rest
            cwd = None
        else:
            theirs, mine = os.pipe()
            self._leash.append(mine)
            leash = (theirs,)
            # The docker command reserves far more addresses than it fills.
            held = "memory" in self.cage.limited or self.kind == CONTAINERS
            space = 0 if held else 2 * self.allowance.memory
            numbers = map(str, (theirs, space, self.allowance.disk))
            line = [sys.executable, "-P", "-m", "llmlab.grade.warden", *numbers, "--", *python]
        start = subprocess.Popen if self.kind == "bubblewrap" else _Warded
        process = start(
            _joining(self.cage, line),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd=cwd,
            start_new_session=True,
            pass_fds=leash,
        )
        for descriptor in leash:
            os.close(descriptor)
        self._processes.append(process)
        self._entries.append(owned.register_process(process.pid, f"{self.label} ({self.kind})"))
        return process

    def _environment(self) -> dict[str, str]:
        work = self.work
        found = own_environment(work, self.course, tmp=Path("/tmp") if self.kind == "bubblewrap" else work)
        found["LLMLAB_SHARED_CACHE"] = os.pathsep.join(map(str, (cache_dir(), *shared_cache_dirs())))
        if self.kind == "bubblewrap":
            found["PYTHONPYCACHEPREFIX"] = str(warm() / "bytecode")
        if (
            self.kind == CONTAINERS
        ):  # registered where `llmlab clean` finds it, whatever becomes of the grader
            found |= {"LLMLAB_STATE": str(state_dir()), owned.ON_BEHALF: self._mine}
            # iptables, ip and runc, where the administrator's programs are
            found["PATH"] = os.pathsep.join([found["PATH"], "/usr/local/sbin", "/usr/sbin", "/sbin"])
            found |= daemon.variables(self._folder(), self.allowance, self._mine, path=found["PATH"])
            found |= {name: os.environ[name] for name in CLUSTER if name in os.environ}
        return found | self._env

    def _bubblewrap(self, read: Sequence[Path], cwd: Path | None) -> list[str]:
        size = ["--size", str(self.allowance.disk), "--tmpfs"]
        line = [*jail.sandbox_line(), "--hostname", "llmlab", "--tmpfs", "/etc"]
        line += ["--perms", "0555", "--tmpfs", "/dev/shm", *size, "/tmp", *size, str(WORK)]
        for name in _ETC:
            line += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        line += ["--ro-bind", str(users()), "/etc/passwd"]
        for folder in [*python(), *cached(), warm() / "bytecode", *read]:
            line += ["--ro-bind", str(folder), str(folder)]
        line += ["--ro-bind", str(self._folder() / "course"), str(COURSE)]
        line += ["--dir", str(WORK / ".matplotlib")]
        for path in sorted((warm() / "matplotlib").glob("fontlist-*.json")):
            line += ["--ro-bind", str(path), f"{WORK}/.matplotlib/{path.name}"]
        if self.cage.inside:
            line += ["--tmpfs", "/sys/fs/cgroup"]
            for controller, folder in self.cage.inside.items():
                line += ["--bind", str(folder), f"/sys/fs/cgroup/{controller}"]
        for key, value in self._environment().items():
            line += ["--setenv", key, value]
        line += ["--remount-ro", "/etc", "--remount-ro", "/"]
        return [*line, "--chdir", str(cwd or WORK), "--"]

    @property
    def line(self) -> str:
        """What holds it, in words, for the result."""
        limits = ", ".join(self.cage.limited) or "time and files only"
        if self.kind == "bubblewrap":
            return f"bubblewrap: its own processes, network and files; limits on {limits}, disk; {walled((*jail.sandbox_line(), '--'))}"
        if self.kind == CONTAINERS:
            return f"{CONTAINERS}: {daemon.WORDS}; the lab's own checks run as a process group, limits on {limits}"
        return f"process group: its files and network are NOT separated from the grader's; limits on {limits}; {walled()}"

    @property
    def outlived(self) -> list[str]:
        """What was still there after everything was killed: the grader's own fault."""
        return self.cage.outlived + self._left

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for leash in self._leash:
            os.close(leash)  # the warden kills everything below it
        for process in self._processes:
            if process.poll() is None and self.kind == "bubblewrap":
                process.kill()  # and with it, by the kernel, every process of its namespace
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        self.cage.__exit__(kind, value, trace)
        if self.kind == CONTAINERS:
            self._left += daemon.remove(self._mine)
        _open.discard(self)
        for entry in self._entries:
            owned.forget(entry)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


class _Warded(subprocess.Popen[bytes]):
    """A warden: told to end, it ends first what it watches over; killed, it could not."""

    _told = False

    def kill(self) -> None:
        if not self._told:
            self._told = True
            self.terminate()
        else:
            super().kill()


def copy_lab(lab: Path, course: Path) -> None:
    """A course of one lab, as it is handed out: without what the one who grades has done in its folder."""
    shutil.copytree(lab, course / "labs" / lab.name, ignore=_OWN_WORK)
    # What was measured once, and tables of the world; the faults are no business of a submission's.
    for path in (lab.parent.parent / "data").glob("*"):
        if path.suffix in (".json", ".toml") and path.name != "faults.toml":
            (course / "data").mkdir(exist_ok=True)
            shutil.copy(path, course / "data")


_OWN_WORK = shutil.ignore_patterns("records", ".llmlab", ".ipynb_checkpoints", "__pycache__")


def kind(info: LabInfo | None = None) -> str:
    """What holds the deployments of a lab: "containers", else "bubblewrap" or "process group", tried on a throw-away sandbox.

    `LLMLAB_SANDBOX=group` asks for the process group.
    """
    return CONTAINERS if info is not None and daemon.needed(info) else _kind()


def _kind() -> str:
    wanted = os.environ.get("LLMLAB_SANDBOX") != "group" and doctor.need("sandbox").met
    return "bubblewrap" if wanted else "process group"


def _joining(cage: Cage, line: list[str]) -> list[str]:
    """Into the cgroups first, then the program: nothing of it is ever outside."""
    if not cage.join:
        return line
    script = 'while [ "$1" != -- ]; do echo $$ > "$1" || exit 1; shift; done; shift; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *map(str, cage.join), "--", *line]


def _limits(allowance: Allowance, cage: Cage) -> list[str]:
    if not shutil.which("prlimit"):
        return []
    line = ["prlimit", "--core=0", f"--nofile={OPEN_FILES}", f"--fsize={allowance.disk}"]
    if "memory" not in cage.limited:
        line.append(f"--as={2 * allowance.memory}")  # address space: more than it can fill
    if "processes" not in cage.limited:
        line.append(f"--nproc={allowance.processes}")
    return [*line, "--"]
