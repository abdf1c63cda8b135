"""What is let in (the rules of az and of the service, then what this machine can do), as what it is started, what is not imitated."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from ....errors import LabError, Unavailable
from ...docker import images
from ..group import GroupContainer
from . import rules
from .images import PrivateRegistry, reference
from .script import ANY, Creation

NEITHER = "No TLS, no virtual network, no managed identity inside the group, no log workspace, no git repository as a volume, no Windows."
NO_FILE = "az container create --file: a group described in YAML is not read."
STANDS_IN = "Docker on this machine stands in for Azure Container Instances: the script is read, nobody runs it, and nobody is logged in."
NOT_IMITATED = (
    "The seconds that Azure takes to find room, to give an address and to pull the image: here the image is on this machine.",
    "A port that was not opened is not fenced off: from this machine the group's own address reaches it; `url` and `describe` give none.",
    "The name of a DNS label is given by `describe` and resolves nowhere.",
    "Memory and cores are limits and are not reserved: a group may ask for more than this machine has (cores: it gets what there are).",
    "Azure may move or restart a group for its own maintenance, may give it another address then, and may start a container again that "
    "ended with a code other than 0 although its policy is Never.",
    "How long Azure waits before it starts a container that keeps ending is not known to us: here 1 s, doubled up to 10 s.",
    "How long Azure waits between SIGTERM and SIGKILL is not known to us: here 10 s.",
    NEITHER,
    NO_FILE,
)
FIXED = {
    "os_type": "osType",
    "cpu": "cpu",
    "memory": "memoryInGb",
    "restart_policy": "restartPolicy",
    "location": "location",
}
UPDATE = "learn.microsoft.com/azure/container-instances/container-instances-update"
#: Options whose value must be known before anything can be started.
USED = frozenset(
    {
        "image",
        "ports",
        "command_line",
        "environment_variables",
        "secure_environment_variables",
        "secrets",
        *ANY,
    }
)


def admit(asked: Creation, registries: Sequence[PrivateRegistry], shares: Mapping[str, Path]) -> None:
    """Refuse what would be refused, and what cannot be run here.

    :raises LabError: with the words of whoever refuses it, and the line of the script.
    """
    if found := rules.refusals(asked, registries):
        one = found[0]
        raise LabError(f"({one.code}) {one.what}", where=one.where, fix=one.neighbour)
    if asked.file:
        raise LabError(NO_FILE, where=asked.where, fix="write its options on the line")
    if asked.os_type == "Windows":
        raise LabError(NEITHER, where=asked.where, fix="--os-type Linux")
    if asked.gitrepo_url:
        raise LabError(NEITHER, where=asked.where, fix="--os-type Linux without --gitrepo-url")
    for option, text in asked.unknown.items():
        if option in USED:
            raise LabError(
                f"--{option.replace('_', '-')} is not known before the script runs: {text}",
                where=asked.where,
                fix="write it out, or give it as a variable of the environment",
            )
    if not images.here(asked.image):
        ours = reference(asked.image).registry in {registry.server for registry in registries}
        raise (Unavailable if ours else LabError)(
            f"The image {asked.image} is not on this machine, and nobody here pulls it.",
            where=asked.where,
            fix=f"docker pull {asked.image}",
        )
    share = asked.azure_file_volume_share_name
    if share and share not in shares:
        raise LabError(
            f"The file share {share!r} is not there.", where=asked.where, fix=f"one of: {', '.join(shares) or 'none'}"
        )  # fmt: skip


def admit_update(old: Creation, new: Creation, state: str) -> None:
    """Refuse what a group that is there cannot become.

    :param state: the group's.
    :raises LabError: with what is to be done instead.
    """
    if new.name != old.name:
        raise LabError(
            f"{new.name} is another group than {old.name}: it would be created beside it.",
            where=new.where,
        )
    if state in ("Succeeded", "Failed"):
        raise LabError(
            f"The container group {old.name} has ended ({state}): such a one is not updated ({UPDATE}).",
            where=new.where,
            fix=f"az container delete --name {old.name}, then create it",
        )
    for option, property_ in FIXED.items():
        before, after = old.values.get(option), new.values.get(option)
        if option == "restart_policy":
            before, after = before or "Always", after or "Always"
        if before != after:
            raise LabError(
                f"{property_} of a container group cannot be updated ({before} → {after}; {UPDATE}).",
                where=new.where,
                fix=f"az container delete --name {old.name}, then create it",
            )


def container(asked: Creation, shares: Mapping[str, Path], secrets: Path | None) -> GroupContainer:
    """The one container of a group.

    :param secrets: the folder with a file for each of --secrets.
    """
    volumes: dict[str, dict[str, str]] = {}
    if asked.azure_file_volume_share_name and asked.azure_file_volume_mount_path:
        folder = shares[asked.azure_file_volume_share_name]
        volumes[str(folder.resolve())] = {"bind": asked.azure_file_volume_mount_path, "mode": "rw"}
    if secrets:
        volumes[str(secrets)] = {"bind": asked.secrets_mount_path, "mode": "ro"}
    return GroupContainer(
        name=asked.name,
        image=asked.image,
        entrypoint=shlex.split(asked.command_line) if asked.command_line else None,
        environment={**asked.environment, **asked.secure},
        options={"volumes": volumes},
    )


def secret_files(asked: Creation, folder: Path) -> Path:
    """A folder with a file for each of --secrets, which whoever the image runs as may read."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    for secret in asked.secrets:
        key, _, value = secret.partition("=")
        (folder / key).write_text(value)
        (folder / key).chmod(0o644)
    return folder
