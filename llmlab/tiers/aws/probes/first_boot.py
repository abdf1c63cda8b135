"""The first boot of an instance, on a machine of ours: its user data run as root, twice, with stand-ins for what AWS has and we have not.

The machine is that of `tiers.systemd` (systemd boots, root is root, there is no network). `aws`, `docker` and the package manager are
stand-ins that keep a record; what the script asked Docker for is started for real afterwards (`llmlab.tiers.aws.probes.door`).
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .... import models
from ....errors import LabError
from ....system.unpack import unpack
from ...systemd.machine import Installed, SystemdMachine
from ..account import Account
from ..endpoint import AwsEndpoint

STANDINS = Path(__file__).parent.parent / "standins"
#: What stands in for an instance at its first boot, as a verdict says it.
STANDS_IN = "a container that boots systemd, with stand-ins for the AWS CLI, Docker and the package manager"
LIMIT = 16 * 1024  # bytes of user data; EC2 User Guide, "Run commands when you launch an EC2 instance"
SCRIPT, THERE, RECORD = "user-data.sh", "/var/lib/llmlab-standins", "/var/lib/llmlab"
#: What a fresh image of each family has before user data runs.
FAMILIES = {
    "amazon": ("dnf", "yum", "aws", "curl", "wget"),
    "ubuntu": ("apt-get", "apt", "snap", "curl", "wget"),
}
#: `docker run` options that take no value (docker-run(1)); every other one takes the next word.
_BARE = {
    *("-d", "--detach", "--rm", "--init", "--read-only", "--privileged", "-i", "-t", "-it"),
    *("-P", "--publish-all", "--no-healthcheck", "--oom-kill-disable"),
}


@dataclass(frozen=True, slots=True)
class DockerRun:
    """One `docker run`: the image, what the container is called with, and where it meets its host."""

    name: str
    image: str
    command: tuple[str, ...]
    ports: tuple[tuple[int, int], ...]  # host, container
    mounts: tuple[tuple[str, str], ...]  # path on the host, in the container
    env: dict[str, str] = field(default_factory=dict)
    hosts_network: bool = False

    def behind(self, port: int) -> int:
        """The container's port behind one of its host; 1, at which nobody answers, where none is published there."""
        return dict(self.ports).get(port, port if self.hosts_network else 1)


@dataclass(frozen=True, slots=True)
class Booted:
    """What two runs of the same script did."""

    first: Installed
    second: Installed | None
    calls: tuple[tuple[tuple[str, ...], ...], ...]  # of each run
    containers: tuple[DockerRun, ...]
    changed: tuple[str, ...]  # files that the second run changed, and containers that it made anew
    again: tuple[str, ...]  # objects that the second run fetched again


def family(endpoint: AwsEndpoint, image: str | None) -> str:
    """Which of the families an image of the endpoint's belongs to; Amazon's own unless its name says otherwise."""
    found = endpoint.client("ec2").describe_images(Filters=[{"Name": "image-id", "Values": [str(image)]}])[
        "Images"
    ]
    return "ubuntu" if found and "ubuntu" in found[0]["Name"].lower() else "amazon"


class FirstBoot:
    """A machine that an instance's user data is run on.

    :param family: "amazon" or "ubuntu": what its image brings along.
    :raises Unavailable: when the machine does not boot here.
    """

    def __init__(self, account: Account, *, family: str = "amazon") -> None:
        self.account = account  # what its user data may fetch from
        self.machine = SystemdMachine()
        try:
            self._equip(family)
        except BaseException:
            self.close()
            raise

    def _equip(self, family: str) -> None:
        model = models.get(self.account.model.removesuffix(".gguf"))
        given = {
            f"{THERE}/given/s3/{self.account.bucket}/{self.account.model}": model.path.read_bytes(),
            f"{THERE}/given/secrets/{self.account.secret}": self.account.key.encode(),
        }
        self.machine.put(given | {f"{THERE}/record": (STANDINS / "record").read_bytes()})
        self.machine.put(
            {
                f"{THERE}/{path.name}": path.read_bytes()
                for path in STANDINS.iterdir()
                if path.name != "record"
            },
            mode=0o755,
        )
        kinds = {"aws": "aws", "curl": "offline", "wget": "offline"}
        links = [
            f"ln -sf {THERE}/{kinds.get(program, 'packages')} /usr/local/sbin/{program}"
            for program in FAMILIES[family]
        ]
        code, said = self.machine.run(f"mkdir -p /usr/local/sbin; {'; '.join(links)}")
        if code:
            raise LabError(f"The stand-ins could not be put in place: {said[-300:]}")

    def run(self, user_data: str) -> Booted:
        """Run it twice, as root, from an empty record.

        :raises LabError: when cloud-init would not even start it.
        """
        if not user_data.startswith("#!"):
            begin = user_data.splitlines()[0][:60] if user_data.strip() else "nothing at all"
            raise LabError(
                f"The user data begins with {begin!r}: cloud-init runs what begins with #!.", where=SCRIPT
            )
        if len(user_data.encode()) > LIMIT:
            raise LabError(f"The user data is longer than {LIMIT:,} bytes.", where=SCRIPT)
        self.machine.put({f"/root/lab/{SCRIPT}": user_data.encode()})
        first = self.machine.install(SCRIPT)
        calls = [self._calls()]
        if first.code:
            return Booted(first, None, tuple(calls), (), (), ())
        kept, files = self._kept(), self._files()
        second = self.machine.install(SCRIPT)
        calls.append(self._calls())
        after, now = self._kept(), self._files()
        changed = [path for path in sorted(files.keys() | now.keys()) if files.get(path) != now.get(path)]
        changed += [
            f"container {name}"
            for name in sorted(kept.keys() | after.keys())
            if kept.get(name) != after.get(name)
        ]
        made = [
            " ".join(call[:2])
            for call in calls[1]
            if call[0] == "docker" and call[1:2] in (("run",), ("rm",), ("restart",))
        ]
        fetched = [call for call in calls[1] if call[:3] == ("aws", "s3", "cp")]
        return Booted(
            first,
            second,
            tuple(calls),
            tuple(asked(name, words) for name, (words, _) in after.items()),
            tuple(changed + ([] if second.code else sorted(set(made)))),
            tuple(
                next((word for word in call if word.startswith("s3://")), " ".join(call)) for call in fetched
            ),
        )

    def take(self, path: str, into: Path) -> bool:
        """Copy a file or folder of the machine to a new folder here, with its owners and modes; whether it was there."""
        from docker.errors import NotFound

        try:
            stream, _ = self.machine.container.raw.get_archive(path)
        except NotFound:
            return False
        into.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            unpack(archive, into, kind="tar", numeric_owner=True, known=False)
        return True

    def close(self) -> None:
        """End the machine; may be called twice."""
        self.machine.close()

    def __enter__(self) -> FirstBoot:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, name: str) -> dict[str, tuple[str, int]]:
        """Files below the record, by name: what stands in them, and when they were written.

        As an archive: what a command prints can be lost on a daemon that is busy.
        """
        from docker.errors import NotFound

        try:
            stream, _ = self.machine.container.raw.get_archive(f"{RECORD}/{name}")
        except NotFound:
            return {}
        found = {}
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    found[Path(member.name).name] = (file.read().decode(errors="replace"), int(member.mtime))
        return found

    def _calls(self) -> tuple[tuple[str, ...], ...]:
        text = self._record("calls").get("calls", ("", 0))[0]
        self.machine.run(f"rm -f {RECORD}/calls")
        return tuple(
            tuple(line.rstrip() for line in call.splitlines()) for call in text.split("\n\n") if call.strip()
        )

    def _kept(self) -> dict[str, tuple[tuple[str, ...], int]]:
        """Containers that run: what they were asked for, and when that was."""
        return {
            name: (tuple(line.rstrip(" ") for line in words.splitlines()), at)
            for name, (words, at) in self._record("containers").items()
        }

    def _files(self) -> dict[str, str]:
        """Checksums of the files that were written since the machine was made, but for logs and what is ours."""
        ours = (RECORD, THERE, "/var/lib/systemd", "/root/lab")
        spare = " -o ".join(
            f"-path {folder}" for folder in ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/log", *ours)
        )
        self.machine.run(
            f"find / -xdev \\( {spare} \\) -prune -o -type f -mmin -30 -print0 | xargs -0 -r sha256sum > {RECORD}/sums"
        )
        said = self._record("sums").get("sums", ("", 0))[0]
        return {line[66:]: line[:64] for line in said.splitlines() if len(line) > 66}


def asked(name: str, words: Sequence[str]) -> DockerRun:
    """The words after `docker run`, taken apart.

    :raises LabError: when there is no image among them, or a port that is no number.
    """
    ports: list[tuple[int, int]] = []
    mounts: list[tuple[str, str]] = []
    env: dict[str, str] = {}
    shared = False
    queue = list(words)
    while queue and queue[0].startswith("-"):
        option, _, value = queue.pop(0).partition("=")
        if not value and option not in _BARE:
            value = queue.pop(0) if queue else ""
        if option in ("-p", "--publish"):
            try:
                host, _, inside = value.rpartition(":")
                ports.append((int(host.rpartition(":")[2] or inside), int(inside.split("/")[0])))
            except ValueError:
                raise LabError(f"docker run -p {value}: no port of a container.", where=SCRIPT) from None
        elif option in ("-v", "--volume"):
            source, _, rest = value.partition(":")
            mounts.append((source, rest.split(":")[0]))
        elif option == "--mount":
            pairs = dict(setting.partition("=")[::2] for setting in value.split(","))
            mounts.append(
                (pairs.get("source", pairs.get("src", "")), pairs.get("target", pairs.get("dst", "")))
            )
        elif option in ("-e", "--env"):
            key, _, word = value.partition("=")
            env[key] = word
        elif option in ("--network", "--net") and value == "host":
            shared = True
    if not queue:
        raise LabError(f"`docker run` of {name} names no image.", where=SCRIPT)
    return DockerRun(name, queue[0], tuple(queue[1:]), tuple(ports), tuple(mounts), env, shared)
