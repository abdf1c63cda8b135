"""What `az container show` prints of a group: the shape of azure-mgmt-containerinstance's models, without what is secret."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any, Protocol

from .script import Creation

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class AciState:
    """A container's state: Waiting | Running | Terminated, and why; times as RFC 3339."""

    state: str
    detail: str = ""
    exit_code: int | None = None
    started: str | None = None
    finished: str | None = None

    def json(self) -> dict[str, Any]:
        """As it is shown."""
        return {
            "detailStatus": self.detail,
            "exitCode": self.exit_code,
            "finishTime": self.finished,
            "startTime": self.started,
            "state": self.state,
        }


@dataclass(frozen=True, slots=True)
class AciEvent:
    """Something that happened to a container."""

    name: str
    message: str
    kind: str  # Normal | Warning
    at: str

    def json(self) -> dict[str, Any]:
        """As it is shown."""
        return {
            "count": 1,
            "firstTimestamp": self.at,
            "lastTimestamp": self.at,
            "message": self.message,
            "name": self.name,
            "type": self.kind,
        }


class Describable(Protocol):
    """What a group has to say of itself."""

    asked: Creation
    current: AciState
    previous: AciState | None
    restart_count: int

    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def address(self) -> str | None: ...  # noqa: D102

    @property
    def events(self) -> tuple[AciEvent, ...]: ...  # noqa: D102


def group(one: Describable) -> dict[str, Any]:
    """A group as a whole."""
    asked = one.asked
    place = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{asked.resource_group_name}"
    credentials = None
    if asked.registry_username or asked.acr_identity:
        server = asked.registry_login_server or asked.image.partition("/")[0]
        credentials = [
            {"identity": asked.acr_identity, "password": None, "server": server, "username": asked.registry_username}
        ]  # fmt: skip
    return {
        "containers": [_container(one)],
        "id": f"{place}/providers/Microsoft.ContainerInstance/containerGroups/{asked.name}",
        "imageRegistryCredentials": credentials,
        "instanceView": {"events": [], "state": one.state},
        "ipAddress": _address(one),
        "location": asked.location,
        "name": asked.name,
        "osType": asked.os_type,
        "provisioningState": "Succeeded",
        "resourceGroup": asked.resource_group_name,
        "restartPolicy": asked.restart_policy or "Always",
        "sku": asked.sku or "Standard",
        "tags": {},
        "type": "Microsoft.ContainerInstance/containerGroups",
        "volumes": _volumes(one),
        "zones": [asked.zone] if asked.zone else None,
    }


def _container(one: Describable) -> dict[str, Any]:
    asked = one.asked
    plain = [{"name": name, "secureValue": None, "value": value} for name, value in asked.environment.items()]
    secure = [{"name": name, "secureValue": None, "value": None} for name in asked.secure]
    return {
        "command": shlex.split(asked.command_line) if asked.command_line else [],
        "environmentVariables": [*plain, *secure],
        "image": asked.image,
        "instanceView": {
            "currentState": one.current.json(),
            "events": [event.json() for event in one.events],
            "previousState": one.previous.json() if one.previous else None,
            "restartCount": one.restart_count,
        },
        "livenessProbe": None,
        "name": asked.name,
        "ports": [{"port": port, "protocol": asked.protocol or "TCP"} for port in asked.opened],
        "readinessProbe": None,
        "resources": {
            "limits": None,
            "requests": {"cpu": asked.cpu, "gpu": None, "memoryInGb": asked.memory},
        },
        "volumeMounts": [
            {"mountPath": path, "name": name, "readOnly": None}
            for name, path in (
                ("azurefile", asked.azure_file_volume_mount_path),
                ("secrets", asked.secrets_mount_path),
            )
            if path
        ]
        or None,
    }


def _address(one: Describable) -> dict[str, Any] | None:
    asked = one.asked
    if not asked.opened:
        return None
    label = asked.dns_name_label
    return {
        "dnsNameLabel": label,
        "fqdn": f"{label}.{asked.location or 'region'}.azurecontainer.io" if label else None,
        "ip": one.address,
        "ports": [{"port": port, "protocol": asked.protocol or "TCP"} for port in asked.opened],
        "type": "Private" if asked.subnet else "Public",
    }


def _volumes(one: Describable) -> list[dict[str, Any]] | None:
    asked, found = one.asked, []
    if asked.azure_file_volume_share_name:
        share = {
            "shareName": asked.azure_file_volume_share_name,
            "storageAccountKey": None,
            "storageAccountName": asked.azure_file_volume_account_name,
        }
        found.append({"azureFile": share, "name": "azurefile", "secret": None})
    if asked.secrets:
        names = {secret.partition("=")[0]: None for secret in asked.secrets}
        found.append({"azureFile": None, "name": "secrets", "secret": names})
    return found or None
