"""A container of a task definition as one of Docker's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..group import GroupContainer
from . import container_rules

#: Seconds and a count that a health check has where it says none. Source: API_HealthCheck.
DEFAULTS = {"interval": 30, "timeout": 5, "retries": 3, "startPeriod": 0}
_MIB = 1 << 20


def mapped(
    container: Mapping[str, Any], secrets: Mapping[str, str], volumes: Mapping[str, str]
) -> GroupContainer:
    """The container with its secrets in its environment.

    :param secrets: their values, by the names of the variables.
    :param volumes: Docker's names of the task's volumes, by the task's names.
    """
    environment = {it["name"]: it.get("value", "") for it in container.get("environment") or () if it.get("name")}  # fmt: skip
    memory = container.get("memory")
    return GroupContainer(
        name=container["name"],
        image=container["image"],
        entrypoint=container.get("entryPoint") or None,
        command=container.get("command") or None,
        environment=environment | dict(secrets),
        memory=memory * _MIB if memory else None,
        read_only=bool(container.get("readonlyRootFilesystem")),
        user=container.get("user") or None,
        options=_options(container, volumes),
    )


def _options(container: Mapping[str, Any], volumes: Mapping[str, str]) -> dict[str, Any]:
    """What the docker SDK calls the rest."""
    from docker.types import Ulimit

    linux = container.get("linuxParameters") or {}
    capabilities = linux.get("capabilities") or {}
    found: dict[str, Any] = {
        "cpu_shares": container.get("cpu") or None,
        "working_dir": container.get("workingDirectory") or None,
        "labels": dict(container.get("dockerLabels") or {}),
        "cap_add": list(capabilities.get("add") or ()) or None,
        "cap_drop": list(capabilities.get("drop") or ()) or None,
        "init": bool(linux.get("initProcessEnabled")) or None,
        "tty": bool(container.get("pseudoTerminal")) or None,
        "stdin_open": bool(container.get("interactive")) or None,
        "ulimits": [
            Ulimit(name=it["name"], soft=it["softLimit"], hard=it["hardLimit"])
            for it in container.get("ulimits") or ()
        ]
        or None,
        "tmpfs": {
            it["containerPath"]: ",".join([f"size={it['size']}m", *(it.get("mountOptions") or ())])
            for it in linux.get("tmpfs") or ()
        }
        or None,
        "volumes": {
            volumes[it["sourceVolume"]]: {
                "bind": it["containerPath"],
                "mode": "ro" if it.get("readOnly") else "rw",
            }
            for it in container.get("mountPoints") or ()
        }
        or None,
        "healthcheck": health_check(container),
    }
    return {name: value for name, value in found.items() if value is not None}


def health_check(container: Mapping[str, Any]) -> dict[str, Any] | None:
    """The definition's health check as Docker takes it; None: there is none, and the image's own is not asked for."""
    check = container.get("healthCheck")
    if not check or check["command"][:1] == ["NONE"]:
        return None
    said = {key: check[key] if check.get(key) is not None else DEFAULTS[key] for key in container_rules.HEALTH}  # fmt: skip
    return {
        "test": list(check["command"]),
        "interval": said["interval"] * 10**9,
        "timeout": said["timeout"] * 10**9,
        "retries": said["retries"],
        "start_period": said["startPeriod"] * 10**9,
    }
