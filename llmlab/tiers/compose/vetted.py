"""A vetted Compose file as it is deployed: bounded, and its images built here under names of ours."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import LabError
from ..docker import bounds
from ..docker.bounds import Bounds
from ..docker.build import build
from ..docker.owning import LABEL, Claim


def project(config: Mapping[str, Any], claim: Claim) -> dict[str, Any]:
    """A vetted Compose file as it is deployed: bounded, its images built here.

    :raises LabError: when it wants too many containers, or an image cannot be built.
    """
    made = copy.deepcopy(dict(config))
    services: dict[str, Any] = made.get("services") or {}
    limits = bounds.here()
    if limits is not None:
        _few(services, limits.containers)
    for name, service in services.items():
        if wanted := service.pop("build", None):
            service["image"] = _built(name, wanted, claim)
            service.pop("pull_policy", None)
        if limits is not None:
            _bound(service, limits)
    return made


def _few(services: Mapping[str, Any], most: int) -> None:
    wanted = sum(
        int(service.get("scale") or (service.get("deploy") or {}).get("replicas") or 1)
        for service in services.values()
    )
    if wanted > most:
        raise LabError(f"It wants {wanted} containers; a submission may have {most}.", fix="fewer replicas")


def _built(name: str, wanted: Mapping[str, Any], claim: Claim) -> str:
    """Build a service's image under a tag of ours: its own could be a base image's, for everybody after it."""
    with tempfile.TemporaryDirectory(prefix="llmlab-dockerfile-") as folder:
        dockerfile = str(wanted.get("dockerfile") or "Dockerfile")
        if wanted.get("dockerfile_inline"):
            path = Path(folder, "dockerfile_inline")
            path.write_text(str(wanted["dockerfile_inline"]), encoding="utf-8")
            dockerfile = str(path)
        return build(
            Path(wanted["context"]),
            dockerfile=dockerfile,
            tag=f"{claim.name}-{name}",
            labels={**(wanted.get("labels") or {}), LABEL: claim.name},
            args=wanted.get("args") or {},
            target=wanted.get("target"),
            fresh=bool(wanted.get("no_cache")),
            vet=True,
        ).image()


def _bound(service: dict[str, Any], most: Bounds) -> None:
    """Limits where there are none, and none above ours. Compose has two places for each, which must agree."""
    deploy = service.setdefault("deploy", {})
    resources = deploy.setdefault("resources", {})
    limits = resources.setdefault("limits", {})
    for old, new, value in (
        ("mem_limit", "memory", float(most.memory)),
        ("pids_limit", "pids", float(most.processes)),
        ("cpus", "cpus", bounds.cpus(most)),
    ):
        if old == "cpus" and _number(service.get("cpu_quota")) > 0:
            continue  # the kernel takes one or the other; a quota is a limit
        said = [_number(table[key]) for table, key in ((service, old), (limits, new)) if key in table]
        value = min([value, *(number for number in said if number > 0)])
        for table, key in ((service, old), (limits, new)):
            if key in table or (table is limits and old not in service):
                table[key] = (
                    value if old == "cpus" else int(value) if old == "pids_limit" else str(int(value))
                )
    for table, key in ((service, "mem_reservation"), (resources.get("reservations") or {}, "memory")):
        if _number(table.get(key)) > most.memory:
            table[key] = str(most.memory)
    service.pop("memswap_limit", None)
    logging = service.setdefault("logging", {})
    logging.setdefault("driver", "json-file")
    if logging["driver"] in ("json-file", "local"):
        logging.setdefault("options", {}).setdefault("max-size", "20m")


def _number(value: Any) -> float:
    """A limit as Compose resolves it (a number, or one as text); what is none counts as no limit."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
