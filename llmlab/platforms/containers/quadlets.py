"""A Quadlet file as Podman's own generator reads it: the service that it makes, and what that service would run."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError
from .systemd import Machine
from .unit_files import complaints

#: Options of `podman run`, as the generator writes them, that take no value (podman-run(1)).
_BARE = frozenset(
    ("-d", "-i", "-t", "--detach", "--init", "--privileged", "--read-only", "--replace", "--rm", "--tty")
)
_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_KEYS = ("LLAMA_API_KEY", "API_KEY")


@dataclass(frozen=True, slots=True)
class PodmanRun:
    """The `podman run` of a generated service: options in their order, the image, and what follows it."""

    options: tuple[tuple[str, str], ...]
    image: str
    arguments: tuple[str, ...]

    def values(self, *names: str) -> list[str]:
        """What an option was given, each time it was."""
        return [value for name, value in self.options if name in names]


def generate(machine: Machine, file: str) -> str:
    """The service that Podman's generator makes of a Quadlet file on the machine, by its path.

    :raises LabError: with the words of the generator, or of systemd where it does not understand the service.
    """
    name = Path(file).name
    code, said = machine.run(
        f"d=$(mktemp -d) && cp {file} $d/ && QUADLET_UNIT_DIRS=$d /usr/libexec/podman/quadlet -dryrun 2>&1;"
        " rc=$?; rm -rf $d; exit $rc"
    )
    _, _, service = said.partition("---\n")
    if code or "\nExecStart=" not in service:
        raise LabError(f"Podman's generator makes no service of it:\n{_plain(said)}", where=name)
    path = f"/var/lib/llmlab/{Path(file).stem}.service"
    machine.put({path: service.encode()})
    wrong = [one for one in complaints(machine, path) if "[X-" not in one and "[Container]" not in one]
    if wrong:
        raise LabError("systemd does not understand the service made of it:\n" + "\n".join(wrong), where=name)
    return service


def _plain(text: str) -> str:
    """The generator's words without its own name and the folder that we gave it."""
    lines = [re.sub(r"^quadlet-generator\[\d+\]: ", "", line) for line in text.strip().splitlines()]
    kept = [re.sub(r"/tmp/tmp\.\w+/", "", line) for line in lines if not line.startswith("Loading source")]
    return "\n".join(kept[-12:])


def parse(service: str) -> PodmanRun:
    """The `podman run` in a generated service.

    :raises LabError: when there is none.
    """
    line = next(
        (one for one in service.splitlines() if one.startswith("ExecStart=") and " run " in one), None
    )
    if line is None:
        raise LabError("The generated service runs no container.", where="llama.container")
    # `%%` and `%i`-like specifiers are systemd's; a container's command line seldom has any.
    words = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%"))
    words = words[words.index("run") + 1 :]
    options: list[tuple[str, str]] = []
    while words and words[0].startswith("-"):
        name, has, value = words.pop(0).partition("=")
        if not has and name not in _BARE and words:
            value = words.pop(0)
        options.append((name, value))
    if not words:
        raise LabError("The generated service names no image.", where="llama.container")
    return PodmanRun(tuple(options), words[0], tuple(words[1:]))


def faults(run: PodmanRun, *, publish: str) -> list[str]:
    """What such a container would allow that the lab does not; empty: nothing."""
    found = []
    mine = run.image.startswith("localhost/") and run.values("--pull") == ["never"]
    if not (mine or _DIGEST.search(run.image)):
        found.append(f"the image {run.image} may be another one tomorrow")
    if not any(value in ("", "true") for value in run.values("--read-only")):
        found.append("its root file system can be written to")
    if not any(
        one.startswith("no-new-privileges") and not one.endswith("false")
        for one in run.values("--security-opt")
    ):
        found.append("it may gain privileges")
    dropped = {one.lower() for value in run.values("--cap-drop") for one in value.split(",")}
    if "all" not in dropped or run.values("--cap-add") or run.values("--privileged"):
        found.append("it has capabilities")
    named = [value for value in run.values("--env", "-e") if value.partition("=")[0] in _KEYS]
    secrets = run.values("--secret")
    if named or "--api-key" in run.arguments or any("type=env" in one for one in secrets):
        found.append("its key stands in its environment or on its command line")
    elif not secrets:
        found.append("it has no secret")
    ports = [one.removesuffix("/tcp") for one in run.values("--publish", "-p")]
    if [one.rpartition(":")[0] for one in ports] != [publish] or run.values("--network") == ["host"]:
        found.append(f"it publishes {', '.join(ports) or 'nothing'}, not {publish}")
    return found
