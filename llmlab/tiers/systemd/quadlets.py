"""A Quadlet file as Podman's own generator reads it: the service that it makes, and what that service would run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError
from .machine import SystemdMachine
from .podman_options import Unread, read
from .unit_files import complaints
from .unit_words import split

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_KEYS = ("LLAMA_API_KEY", "API_KEY")


@dataclass(frozen=True, slots=True)
class PodmanRun:
    """The `podman run` of a generated service: options by their long names, in their order, the image, and what follows it."""

    options: tuple[tuple[str, str], ...]
    image: str
    arguments: tuple[str, ...]

    def values(self, *names: str) -> list[str]:
        """What an option was given, each time it was."""
        return [value for name, value in self.options if name in names]

    def last(self, name: str) -> str:
        """What an option of one value was given last, which is what counts; "" when it was not given."""
        return next(iter(self.values(name)[::-1]), "")

    def on(self, name: str) -> bool:
        """Whether an option that is on or off is on."""
        return self.last(name).lower() in ("1", "t", "true")

    def listed(self, name: str) -> list[str]:
        """The values of an option that takes several at once, with commas between them."""
        return [part for value in self.values(name) for part in value.split(",")]


def generate(machine: SystemdMachine, file: str) -> str:
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
    wrong = [
        complaint
        for complaint in complaints(machine, path)
        if "[X-" not in complaint and "[Container]" not in complaint
    ]
    if wrong:
        raise LabError("systemd does not understand the service made of it:\n" + "\n".join(wrong), where=name)
    return service


def _plain(text: str) -> str:
    """The generator's words without its own name and the folder that we gave it."""
    lines = [re.sub(r"^quadlet-generator\[\d+\]: ", "", line) for line in text.strip().splitlines()]
    kept = [re.sub(r"/tmp/tmp\.\w+/", "", line) for line in lines if not line.startswith("Loading source")]
    return "\n".join(kept[-12:])


def version(machine: SystemdMachine) -> str:
    """The version of Podman's generator on the machine; "" when it does not say."""
    code, said = machine.run("/usr/libexec/podman/quadlet -version 2>&1")
    found = re.match(r"\d+\.\d+(\.\d+)?", said.strip())
    return found[0] if found and not code else ""


def parse(service: str, *, podman: str = "", source: str = "") -> PodmanRun:
    """The `podman run` in a generated service.

    :param podman: the version of Podman that is to run it, where it is known.
    :param source: the text of the Quadlet, for the line on which an option stands.
    :raises LabError: when there is none, or one that Podman would not take apart so; with the option, and its line.
    """
    line = next(
        (
            setting
            for setting in service.splitlines()
            if setting.startswith("ExecStart=") and " run " in setting
        ),
        None,
    )
    if line is None:
        raise LabError("The generated service runs no container.", where="llama.container")
    try:
        words = split(line.removeprefix("ExecStart="))
        options, left = read(words[words.index("run") + 1 :], podman=podman)
    except ValueError as error:
        raise LabError(f"The command of the generated service: {error}.", where="llama.container") from None
    except Unread as error:
        at = _line(source, error.option)
        raise LabError(
            error.what,
            where=f"llama.container:{at}" if at else "llama.container",
            fix=f"leave {error.option} out, or write it as podman-run(1) has it",
        ) from None
    if not left:
        raise LabError("The generated service names no image.", where="llama.container")
    return PodmanRun(tuple(options), left[0], tuple(left[1:]))


def _line(source: str, option: str) -> int | None:
    """The line of the Quadlet on which an option stands."""
    word = re.compile(rf"(?<![\w-]){re.escape(option)}(?![\w-])")
    lines = enumerate(source.splitlines(), 1)
    return next(
        (n for n, text in lines if word.search(text) and not text.lstrip().startswith(("#", ";"))), None
    )


def faults(run: PodmanRun, *, publish: str) -> list[str]:
    """What such a container would allow that the lab does not; empty: nothing."""
    found = []
    mine = run.image.startswith("localhost/") and run.last("--pull") == "never"
    if run.on("--rootfs"):
        found.append(f"it runs the folder {run.image}, not an image that is pinned")
    elif not (mine or _DIGEST.search(run.image)):
        found.append(f"the image {run.image} may be another one tomorrow")
    if not run.on("--read-only"):
        found.append("its root file system can be written to")
    if not any(
        option.startswith("no-new-privileges") and not option.endswith("false")
        for option in run.values("--security-opt")
    ):
        found.append("it may gain privileges")
    dropped = {capability.lower() for capability in run.listed("--cap-drop")}
    if "all" not in dropped or run.values("--cap-add") or run.on("--privileged"):
        found.append("it has capabilities")
    named = [value for value in run.values("--env") if value.partition("=")[0] in _KEYS]
    secrets = run.values("--secret")
    if named or "--api-key" in run.arguments or any("type=env" in secret for secret in secrets):
        found.append("its key stands in its environment or on its command line")
    elif not secrets:
        found.append("it has no secret")
    network = run.values("--network")
    ports = [port.removesuffix("/tcp") for port in run.listed("--publish")]
    more = ["whatever its image exposes"] * run.on("--publish-all") + ["the host's network"] * (
        "host" in network
    )
    if [port.rpartition(":")[0] for port in ports] != [publish] or more:
        found.append(f"it publishes {', '.join([*ports, *more]) or 'nothing'}, not {publish}")
    return found
