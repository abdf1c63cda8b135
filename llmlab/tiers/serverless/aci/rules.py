"""What az, or the service, refuses of a creation whose options az could read, in their words.

Each finding has its source and something legal next to it. What the service says was read where the source is; none of it was asked here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .images import PrivateRegistry, inaccessible, strange_identity
from .script import Creation

By = Literal["az", "service", "nobody"]
DOCS = "MicrosoftDocs/azure-compute-docs articles/container-instances"
LIMITS = f"{DOCS}/container-instances-resource-and-quota-limits.md (2025-11-17)"
NAMING = f"{DOCS}/container-instances-troubleshooting.md (2026-07-25)"
OS_TYPE = "Azure/azure-cli#30439, #30496; MicrosoftDocs/azure-compute-docs#438"
AZ = "azure-cli 2.91.0, command_modules/container"
#: The most that one group may ask for: cores, GB; and the most ports of its address.
CPU, MEMORY, PORTS = 31.0, 240.0, 5
SPOT = (4.0, 16.0)


@dataclass(frozen=True, slots=True)
class AciFinding:
    """One thing about a creation.

    `by`: who refuses it; nobody: it is taken, and does what stands in `what`. `quoted`: `what` is their own words, not ours.
    """

    code: str
    what: str
    by: By
    where: str
    source: str
    neighbour: str
    quoted: bool = True

    def __str__(self) -> str:
        return f"{self.where}: ({self.code}) {self.what}"


Rule = Callable[[Creation], Iterator[AciFinding]]


def refusals(asked: Creation, registries: Sequence[PrivateRegistry] = ()) -> list[AciFinding]:
    """What az refuses before it asks anybody, else what the service refuses.

    :param registries: private ones that are known here, with what is in them.
    """
    found = [*_az(asked)]
    if found or asked.file:  # then nothing but the file counts
        return found
    return [*_service(asked), *_image(asked, registries)]


def _az(asked: Creation) -> Iterator[AciFinding]:
    """What _validators.py and custom.py of az refuse, in that order."""

    def said(what: str, neighbour: str) -> AciFinding:
        return AciFinding("az", what, "az", asked.where, AZ, neighbour)

    if asked.azure_file_volume_mount_path and ":" in asked.azure_file_volume_mount_path:
        yield said("The volume mount path cannot contain ':'", "--azure-file-volume-mount-path /models")
    if any("=" not in secret for secret in asked.secrets or ()):
        yield said("Secrets need to be specifed in key=value format.", "--secrets key=$LLAMA_API_KEY")
    if asked.gitrepo_dir and ".." in asked.gitrepo_dir:
        yield said("The git repo directory cannot contain '..'", "--gitrepo-dir models")
    if asked.assign_identity is None and (asked.identity_scope or asked.identity_role):
        yield said("usage error: --assign-identity [--scope SCOPE] [--role ROLE]", "--assign-identity")
    vnet, subnet = asked.vnet or asked.vnet_name, asked.subnet
    if bool(vnet) != bool(subnet) and not (subnet or "").startswith("/subscriptions/"):
        yield said(
            "usage error: --vnet NAME --subnet NAME | --vnet ID --subnet NAME | --subnet ID",
            "both of them, or neither",
        )
    for option, given in (
        ('IP address type "Public"', asked.ip_address == "Public"),
        ('"--dns-name-label"', asked.dns_name_label),
    ):
        if (vnet or subnet) and given:
            yield said(
                f'Can not use "--subnet" or "--vnet" with {option}.', "a group is public, or in a network"
            )
    if asked.file:
        return
    if not asked.name:
        what = "error: the --name/-n argument is required unless specified with a passed in file."
        yield said(what, "--name llama-server")
    yield from _credentials(asked, said)
    try:
        shlex.split(asked.command_line or "")
    except ValueError as error:
        yield said(str(error), "--command-line \"/bin/sh -c '…'\": az splits it as a shell would")
    if asked.azure_file_volume_share_name and not asked.azure_file_volume_account_name:
        what = "Please specify --azure-file-volume-account-name in order to use Azure File volume."
        yield said(what, "--azure-file-volume-account-name and -key, too")
    if asked.azure_file_volume_mount_path and not asked.azure_file_volume_share_name:
        yield said(
            "Please specify --azure-file-volume-share-name --azure-file-volume-account-name "
            "--azure-file-volume-account-key to enable Azure File volume mount.",
            "all four of them, or none",
        )
    if asked.secrets and not asked.secrets_mount_path:
        what = "Please specify --secrets --secrets-mount-path to enable secrets volume mount."
        yield said(what, "--secrets-mount-path /run/secrets")
    if asked.log_analytics_workspace_key and not asked.log_analytics_workspace:
        what = '"--log-analytics-workspace-key" requires "--log-analytics-workspace".'
        yield said(what, "both of them, or neither")


def _credentials(asked: Creation, said: Callable[[str, str], AciFinding]) -> Iterator[AciFinding]:
    """custom.py, _create_image_registry_credentials, with nobody at the keyboard whom it could ask."""
    image = asked.image or ""
    azure = ".azurecr.io" in image.split("/")[0]
    with_name = "--registry-username $ACR_USERNAME --registry-password $ACR_PASSWORD, or --acr-identity NAME --assign-identity NAME"
    if asked.acr_identity:
        if not asked.registry_login_server and not azure:
            what = (
                "Failed to parse login server from image name; please explicitly specify --registry-server."
            )
            yield said(what, "--registry-login-server NAME.azurecr.io")
    elif asked.registry_login_server or azure:
        of = "custom image registry" if asked.registry_login_server else "Azure Container Registry"
        for option, value in (
            ("username", asked.registry_username),
            ("password", asked.registry_password),
        ):
            if not value:
                yield said(f"Please specify --registry-{option} in order to use {of}.", with_name)
                break


def _service(asked: Creation) -> Iterator[AciFinding]:
    """What the service refuses, whatever the image is."""

    def said(code: str, what: str, source: str, neighbour: str, quoted: bool = True) -> AciFinding:
        return AciFinding(code, what, "service", asked.where, source, neighbour, quoted)

    name, cpu, memory = asked.name, asked.cpu, asked.memory
    if asked.os_type is None:
        what = (
            "The 'osType' for container group '<null>' is invalid. The value must be one of 'Windows,Linux'."
        )
        yield said("InvalidOsType", what, OS_TYPE, "--os-type Linux")
    since = "required since API version '2017-07-01-preview'."
    if not cpu and not memory:
        yield said(
            "ResourceRequestsNotSpecified",
            f"The resource requests are not specified in container '{name}' of contain group '{name}'. "
            f"Both memory and CPU requests are {since}",
            "MicrosoftLearning/mslearn-azure-developer#67",
            "--cpu 4 --memory 16",
        )
    elif not cpu or not memory:
        lacks = "MemoryInGB" if cpu else "Cpu"
        yield said(
            "ResourceSomeRequestsNotSpecified",
            f"The '{lacks}' request is not specified in 'MemoryInGB '{_plain(memory)}' Cpu '{_plain(cpu)}'' in container "
            f"'{name}' of contain group '{name}'. It is {since}",
            "MicrosoftDocs/azure-docs-cli#4812",
            "--memory 16" if cpu else "--cpu 4",
        )
    most_cpu, most_memory = SPOT if (asked.priority or "").lower() == "spot" else (CPU, MEMORY)
    for option, value, most, unit in (
        ("--cpu", cpu, most_cpu, "cores"),
        ("--memory", memory, most_memory, "GB"),
    ):
        if value is not None and not 0 <= value <= most:
            what = f"{option} {value:g}: a container group has more than 0 and at most {most:g} {unit}"
            yield said("resources", what, LIMITS, f"{option} {most:g}", False)
    if not asked.image and not asked.container_group_profile_id and not asked.standby_pool_profile_id:
        what = "no image is named, and no profile that would name one"
        yield said(
            "image", what, f"{AZ}/custom.py", "--image NAME.azurecr.io/llama-server:v1.0.0", quoted=False
        )
    if len(asked.opened) > PORTS:
        what = f"{len(asked.opened)} ports are open; an address has at most {PORTS}"
        yield said("ports", what, LIMITS, f"the {PORTS} that are needed", False)
    yield from _names(asked, said)


def _plain(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _names(asked: Creation, said: Callable[[str, str, str, str, bool], AciFinding]) -> Iterator[AciFinding]:
    """The naming rules; the service's words for them are not known to us."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", asked.name):
        what = f"{asked.name!r} is no name for a container group: 1 to 63 lower-case letters, digits and inner hyphens"
        yield said("name", what, NAMING, "--name llama-server", False)
    label = asked.dns_name_label
    if (
        label
        and "dns_name_label" not in asked.unknown
        and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{3,61}[A-Za-z0-9]", label)
    ):
        what = f"{label!r} is no DNS name label: 5 to 63 letters, digits and inner hyphens"
        yield said("dns-name-label", what, NAMING, "--dns-name-label llama-server-42", False)
    for port in asked.ports or ():
        if not 1 <= port <= 65535:
            yield said("port", f"{port} is no port: 1 to 65535", NAMING, "--ports 8080", False)
    for variable in (*asked.environment, *asked.secure):
        if not re.fullmatch(r"[A-Za-z0-9](\w{0,61}[A-Za-z0-9])?", variable, re.ASCII):
            what = f"{variable!r} is no name for a variable: 1 to 63 letters, digits and inner underscores"
            yield said("variable", what, NAMING, "LLAMA_API_KEY=…", False)
    for variable in sorted(set(asked.environment) & set(asked.secure)):
        what = f"{variable} is set twice, as a variable and as a secure one"
        yield said("variable", what, "known, not checked", "--secure-environment-variables alone", False)


def _image(asked: Creation, registries: Sequence[PrivateRegistry]) -> Iterator[AciFinding]:
    if strange_identity(asked):
        yield AciFinding(
            "InvalidImageRegistryIdentity",
            f"The identity in the 'imageRegistryCredentials' of container group '{asked.name}' not found in container group "
            "identity list",
            "service",
            asked.where,
            "MicrosoftDocs/azure-docs#117644",
            '--assign-identity "$IDENTITY", the same one as --acr-identity',
        )
    elif asked.image and (why := inaccessible(asked, registries)):
        yield AciFinding(
            "InaccessibleImage",
            f"The image '{asked.image}' in container group '{asked.name}' is not accessible. "
            "Please check the image and registry credential.",
            "service",
            asked.where,
            f"MicrosoftDocs/azure-docs#45129, #38439; here: {why}",
            "an image with its registry in its name (NAME.azurecr.io/llama-server:v1.0.0) and who may pull it",
        )
