"""A machine with systemd as process 1, booted in an owned container: files put on it, commands run, installed on, rebooted."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from ... import models
from ...errors import LabError, Unavailable
from ..docker.container import Container
from ..docker.daemon import client, speaking
from ..docker.images import SYSTEMD
from ..docker.owning import Claim

HOME = "/root/lab"  # where the learner's files lie in the machine, and where install.sh is run
RELEASE = "/srv/release"  # what the vendor ships: an archive and its checksum, and the model
PORT = 8080
TAIL = 12  # last lines that an error shows
RUN = 60  # seconds that a short command may take

_WORK = "/var/lib/llmlab"  # on the disk: what is copied into a container does not reach its tmpfs
#: Sourced by bash before install.sh: notes the line of each command, and of each that failed, on a descriptor of its own.
_TRACE = f"""unset BASH_ENV
exec 9>>{_WORK}/trace
trap 'printf "%s %s\\n" "${{LINENO}}" "${{BASH_SOURCE[0]##*/}}" >&9' DEBUG
trap 'printf "! %s %s\\n" "$?" "${{LINENO}}" >&9' ERR
set -o functrace -o errtrace
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """What one run of install.sh gave. `failed`: line and exit code of every command that failed, checked for or not."""

    code: int
    seconds: float
    said: str  # its last lines
    line: int | None  # the line it was on when it ended (None: it is no bash script)
    failed: tuple[tuple[int, int], ...] = ()
    problem: LabError | None = None


class SystemdMachine:
    """A Debian 13 that boots systemd, without a network to the outside. Gone with `close`, at the latest with its claim.

    :param files: copied to `/root/lab` under their names: what the learner wrote, and what is given beside it.
    :param options: more options of the docker SDK (a test makes a disk small with `tmpfs`).
    :raises Unavailable: when it does not boot here: that is this machine's trouble.
    """

    def __init__(
        self, files: Mapping[str, bytes] | None = None, *, claim: Claim | None = None, **options: Any
    ) -> None:
        tmpfs = {
            "/run": "exec,size=128m",
            "/run/lock": "",
            "/tmp": "exec,size=256m",
            **options.pop("tmpfs", {}),
        }
        self.container = Container(SYSTEMD, claim=claim, publish=PORT, tmpfs=tmpfs, **_boots(), **options)
        try:
            try:
                self._booted()
            except Unavailable:
                raise
            except LabError as error:
                raise Unavailable(f"The machine does not boot. {error.what}", fix="llmlab doctor") from None
            self.put({f"{HOME}/{name}": data for name, data in (files or {}).items()})
        except BaseException:
            self.close()
            raise

    def _booted(self) -> None:
        """Wait until systemd says that it is up.

        :raises LabError: when it does not: after a reboot that is the doing of what was installed.
        """

        def up() -> bool:
            return self.run("systemctl is-system-running")[1].strip() in ("running", "degraded")

        self.container.wait(up, within=RUN, what="booted")
        self.run(f"mkdir -p -m 700 {_WORK} {HOME}")

    @property
    def address(self) -> str:
        """Where its port 8080 answers on this machine (another one after a reboot)."""
        return self.container.address

    def put(self, files: Mapping[str, bytes], *, mode: int = 0o644) -> None:
        """Write files, by their full path; one named `*.sh` is executable, `api-key` is root's alone."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for path, data in files.items():
                entry = tarfile.TarInfo(path.lstrip("/"))
                entry.size = len(data)
                entry.mode = 0o755 if path.endswith(".sh") else 0o600 if path.endswith("/api-key") else mode
                entry.mtime = int(time.time())
                tar.addfile(entry, io.BytesIO(data))
        with self._there():
            self.container.raw.put_archive("/", archive.getvalue())

    def run(self, command: str, *, timeout: float = RUN) -> tuple[int, str]:
        """Run a shell command as root: exit code (124: it was not done in time) and what it printed."""
        with self._there():
            return self.container.run("timeout", "-k", "2", str(timeout), "bash", "-c", command)

    def show(self, *properties: str, unit: str = "llama-server.service") -> dict[str, str]:
        """Properties of a unit, as `systemctl show` gives them."""
        said = self.run(f"systemctl show {unit} -p {','.join(properties)}")[1]
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def journal(self, unit: str = "llama-server.service", lines: int = TAIL) -> str:
        """The last lines that a unit wrote."""
        return self.run(f"journalctl --no-pager -o cat -n {lines} -u {unit}")[1].strip()

    def wait(self, condition: Callable[[], bool], *, within: float, what: str) -> float:
        """Wait until a condition holds; returns the seconds it took.

        :raises LabError: when it does not hold in time.
        """
        with self._there():
            return self.container.wait(condition, within=within, what=what)

    def install(self, script: str = "install.sh", *, timeout: float = 120) -> Installed:
        """Run a script of the learner's as root, in the folder of their files; `problem` says what went wrong and where."""
        self.put({f"{_WORK}/trace.sh": _TRACE.encode()})
        self.run(
            f"rm -f {_WORK}/trace {_WORK}/rc"
        )  # before it begins: else the end of the run before is taken for its own
        order = (
            f"cd {HOME} && "
            f"{{ BASH_ENV={_WORK}/trace.sh timeout -k 5 {timeout:g} ./{script} > {_WORK}/said 2>&1 < /dev/null; "
            f"echo $? > {_WORK}/code; mv {_WORK}/code {_WORK}/rc; }}"
        )
        began = time.monotonic()
        with self._there():
            self.container.raw.exec_run(["bash", "-c", order], detach=True)
        self.wait(
            lambda: self.run(f"test -e {_WORK}/rc")[0] == 0, within=timeout + 30, what=f"done with {script}"
        )
        seconds = time.monotonic() - began
        code = int(self.run(f"cat {_WORK}/rc")[1])
        said = self.run(f"tail -n {TAIL} {_WORK}/said | cut -c -400")[1].strip()
        trace = self.run(f"tail -n 400 {_WORK}/trace; grep -m 40 '^!' {_WORK}/trace")[1].splitlines()
        lines = [
            int(record.split()[0])
            for record in trace
            if record.endswith(f" {script}") and record[0].isdigit()
        ]
        words = [record.split() for record in trace if record.startswith("! ")]
        failed = tuple(dict.fromkeys((int(line), int(rc)) for _, rc, line in words))
        done = Installed(code, seconds, said, lines[-1] if lines else None, failed)
        return (
            Installed(code, seconds, said, done.line, failed, self._problem(done, script, timeout))
            if code
            else done
        )

    def _problem(self, done: Installed, script: str, timeout: float) -> LabError:
        """Why a script ended as it did."""
        source = self.run(f"cat {HOME}/{script}")[1]
        where = f"{script}:{done.line}" if done.line else script
        text = source.splitlines()[done.line - 1].strip() if done.line else ""
        at = f" at `{text}`" if text else ""
        if "\r\n" in source:
            return LabError(
                f"{script} has Windows line ends (CRLF), which no shell reads. Its last lines:\n{done.said}",
                where=f"{script}:1",
                fix=f"sed -i 's/\\r$//' {script}",
            )
        if done.code in (124, 137):
            return LabError(
                f"{script} was not done after {timeout:g} s{at}. Its last lines:\n{done.said}", where=where
            )
        if "No space left on device" in done.said:
            full = self.run(
                "df --output=pcent,target -x tmpfs -x devtmpfs 2>/dev/null | grep -E '^ *(9[89]|100)%'"
            )[1]
            if full.strip().endswith(" /"):
                return Unavailable(
                    f"The disk under Docker is full. {script} said last:\n{done.said}", where=where
                )
            return LabError(f"{script} filled a disk{at}. Its last lines:\n{done.said}", where=where)
        return LabError(
            f"{script} ended with code {done.code}{at}. Its last lines:\n{done.said}", where=where
        )

    def reboot(self) -> float:
        """Shut down and boot again, as a machine does; returns the seconds until systemd says that it is up.

        :raises LabError: when it does not come up again.
        """
        began = time.monotonic()
        with self._there():
            self.container.raw.restart(timeout=30)
        self._booted()
        return time.monotonic() - began

    @contextlib.contextmanager
    def _there(self) -> Iterator[None]:
        """Around calls that need the machine: one that is gone is said in a sentence."""
        from docker.errors import APIError, NotFound

        try:
            with speaking():
                yield
        except NotFound:
            raise Unavailable("The machine's container was removed meanwhile.") from None
        except APIError as error:
            if "is not running" in str(error):
                raise self.container.ended("shut down") from None
            if "no space left" in str(error):
                raise Unavailable(f"The disk under Docker is full: {error.explanation}") from None
            raise LabError(f"Docker refused: {error.explanation or error}") from None

    def close(self) -> None:
        """End it; may be called twice."""
        self.container.close()

    def __enter__(self) -> SystemdMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _boots() -> dict[str, Any]:
    """What a container needs for systemd to boot in it and for its sandboxing to be in force, by the daemon's cgroups.

    Without SYS_ADMIN a unit's sandboxing is ignored without a word; without SYS_PTRACE, ProtectProc= keeps
    PrivateUsers= from working. On cgroup v2 the container has cgroups of its own, which `recipes/systemd/boot` makes
    writable; on v1 it has the daemon's, of which systemd uses those below its own.
    """
    with speaking():
        version = str(client().info().get("CgroupVersion") or "1")
    options: dict[str, Any] = {
        "cap_add": ["SYS_ADMIN", "SYS_PTRACE"],
        "cap_drop": [
            "MKNOD",
            "NET_RAW",
        ],  # with SYS_ADMIN, the shortest ways to the host's disks and its neighbours
        "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
        "dns": ["127.0.0.1"],  # names lead nowhere: what is installed comes from what the machine has
        "hostname": "machine",
    }
    if version == "2":
        return options | {"cgroupns": "private"}
    return options | {"volumes": {"/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "ro"}}}


def read(path: Path) -> bytes:
    """A file of the learner's.

    :raises LabError: when it is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        fix = "lab.reset(), or llmlab reset"
        raise LabError(f"{path.name} is missing.", where=error.strerror, fix=fix) from None


def furnished(folder: Path, names: Sequence[str], *, key: str, **options: Any) -> SystemdMachine:
    """A booted machine with a service to be: these files of a folder and the key beside them, the vendor's release and model.

    :raises LabError: when a file is missing.
    """
    files = {"api-key": f"{key}\n".encode(), **{name: read(folder / name) for name in names}}
    model = models.get("tiny").path.read_bytes()
    machine = SystemdMachine(files, **options)
    try:
        machine.put({f"{RELEASE}/tiny.gguf": model})
    except BaseException:
        machine.close()
        raise
    return machine
