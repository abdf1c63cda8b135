"""`podman run` as Podman itself reads it: its options, which of them take a value, and since which version.

The names are those of the flags that Podman defines (cmd/podman/common/create.go and netflags.go, cmd/podman/containers/run.go,
cmd/podman/utils/alias.go in containers/podman), collected from v4.3.1, v4.4.4, v4.5.1, v4.6.2, v4.7.2, v4.8.3, v4.9.5, v5.0.3,
v5.1.2, v5.2.5, v5.3.2, v5.4.2, v5.5.2, v5.6.2, v5.7.1 and v5.8.2. None of them changed its kind in between.
"""

from __future__ import annotations

from collections.abc import Iterable

from ...errors import LabError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OLDEST, NEWEST = "4.3", "5.8"

#: Options that are on by being there; a value they take only after `=`, as in `--read-only=false`.
BARE = _words(
    """
    detach disable-content-trust env-host help http-proxy init interactive no-healthcheck no-hostname no-hosts
    oom-kill-disable passwd privileged publish-all quiet read-only read-only-tmpfs replace rm rmi rootfs sig-proxy
    tls-verify tty unsetenv-all
    """
)

#: Options that take a value, after `=` or as the next word.
VALUED = _words(
    """
    add-host annotation arch attach authfile blkio-weight blkio-weight-device cap-add cap-drop cert-dir cgroup-conf
    cgroup-parent cgroupns cgroups chrootdirs cidfile conmon-pidfile cpu-period cpu-quota cpu-rt-period cpu-rt-runtime
    cpu-shares cpus cpuset-cpus cpuset-mems creds decryption-key detach-keys device device-cgroup-rule device-read-bps
    device-read-iops device-write-bps device-write-iops dns dns-option dns-search entrypoint env env-file env-merge expose
    gidmap gpus group-add group-entry health-cmd health-interval health-log-destination health-max-log-count
    health-max-log-size health-on-failure health-retries health-start-period health-startup-cmd health-startup-interval
    health-startup-retries health-startup-success health-startup-timeout health-timeout hostname hosts-file hostuser
    image-volume init-path ip ip6 ipc kernel-memory label label-file log-driver log-opt mac-address memory
    memory-reservation memory-swap memory-swappiness mount name network network-alias oom-score-adj os passwd-entry
    personality pid pidfile pids-limit platform pod pod-id-file preserve-fd preserve-fds publish pull rdt-class requires
    restart retry retry-delay sdnotify seccomp-policy secret security-opt shm-size shm-size-systemd signature-policy
    stop-signal stop-timeout subgidname subuidname sysctl systemd timeout tmpfs tz uidmap ulimit umask unsetenv user userns
    uts variant volume volumes-from workdir
    """
)

SHORT = {
    "a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname", "i": "interactive", "l": "label",
    "m": "memory", "p": "publish", "P": "publish-all", "q": "quiet", "t": "tty", "u": "user", "v": "volume", "w": "workdir",
}  # fmt: skip

#: Other names that Podman takes for the same option.
ALIASES = {
    "dns-opt": "dns-option", "healthcheck-command": "health-cmd", "healthcheck-interval": "health-interval",
    "healthcheck-retries": "health-retries", "healthcheck-start-period": "health-start-period",
    "healthcheck-timeout": "health-timeout", "net": "network", "override-arch": "arch", "override-os": "os",
    "override-variant": "variant",
}  # fmt: skip

#: The version that brought an option, where the oldest of those versions has it not.
SINCE = {
    "cert-dir": "5.7", "creds": "5.7", "decryption-key": "4.4", "group-entry": "4.5", "health-log-destination": "5.3",
    "health-max-log-count": "5.3", "health-max-log-size": "5.3", "health-startup-cmd": "4.4",
    "health-startup-interval": "4.4", "health-startup-retries": "4.4", "health-startup-success": "4.4",
    "health-startup-timeout": "4.4", "hosts-file": "5.4", "no-hostname": "5.4", "preserve-fd": "5.0", "rdt-class": "4.8",
    "retry": "5.0", "retry-delay": "5.0", "shm-size-systemd": "4.5",
}  # fmt: skip


class Unread(LabError):
    """A command line that cannot be told apart; `option`: the word at which."""

    def __init__(self, what: str, option: str) -> None:
        super().__init__(what, where="llama.container")
        self.option = option


def read(words: Iterable[str], *, podman: str = "") -> tuple[list[tuple[str, str]], list[str]]:
    """What follows `podman run`: (option, value) by its long name with its dashes ("true" where it is on by being there), and the rest.

    :param podman: the version that is to run it; an option that came later is refused, as Podman would.
    :raises Unread: at an option that is not in the table, or one whose value is missing: nothing is guessed.
    """
    left = list(words)
    found: list[tuple[str, str]] = []
    while left and left[0].startswith("-") and left[0] != "-":
        word = left.pop(0)
        if word == "--":
            break
        pairs = _long(word, left) if word.startswith("--") else _cluster(word, left)
        for name, value in pairs:
            since = SINCE.get(name, OLDEST)
            if podman and _number(podman) < _number(since):
                raise Unread(f"--{name} came with Podman {since}; this machine has {podman}.", f"--{name}")
            found.append((f"--{name}", value))
    return found, left


def _long(word: str, left: list[str]) -> list[tuple[str, str]]:
    written, has, value = word[2:].partition("=")
    name = ALIASES.get(written, written)
    if name in BARE:
        return [(name, value if has else "true")]
    if name not in VALUED:
        raise _unknown(f"--{written}")
    return [(name, value if has else _next(f"--{written}", left))]


def _cluster(word: str, left: list[str]) -> list[tuple[str, str]]:
    """`-dit`, `-p8080:80`, `-e A=1`: options of one letter, of which the first that takes a value takes what is left."""
    found: list[tuple[str, str]] = []
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = SHORT.get(letter)
        if name is None:
            raise _unknown(f"-{letter}")
        if name in BARE and not letters.startswith("="):
            found.append((name, "true"))
            continue
        value = letters.removeprefix("=") if letters else _next(f"-{letter}", left)
        found.append((name, value))
        break
    return found


def _next(option: str, left: list[str]) -> str:
    if not left:
        raise Unread(f"{option} takes a value, and the command ends with it.", option)
    return left.pop(0)


def _unknown(option: str) -> Unread:
    return Unread(
        f"`podman run` of Podman {OLDEST} to {NEWEST} has no option {option}, "
        "so where its value ends and the image begins cannot be told.",
        option,
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2] if part.isdigit())
