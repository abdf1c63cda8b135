"""What Fargate refuses of a task's containers: names, ports, logs, health, order. Words and sources: as in `rules`."""

from __future__ import annotations

import graphlib
import re
from typing import Any

from .definition import Place
from .ports import span
from .rule import Found, containers, given, rule

_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
LOG_DRIVERS = ("awslogs", "splunk", "awsfirelens")
MOST = 10  # containers of one task: ECS service quotas


@rule("containers", "doc API_RegisterTaskDefinition; seen")
def _containers(document: dict[str, Any]) -> Found:
    if not _NAME.fullmatch(document["family"]):
        yield "Family contains invalid characters.", ("family",)
    parts = list(containers(document))
    if not parts:
        yield "Container list cannot be empty.", ("containerDefinitions",)
        return
    if len(parts) > MOST:
        yield "Too many containers.", ("containerDefinitions",)
    if not any(it.get("essential", True) for it, _ in parts):
        yield "Task definition doesn't have any essential container.", ("containerDefinitions",)
    seen = set()
    for it, place in parts:
        name = it.get("name") or ""
        if not _NAME.fullmatch(name):
            yield f"Invalid container name '{name}'.", (*place, "name")
        elif name in seen:
            yield "Container names must be unique within a task definition", (*place, "name")
        seen.add(name)
        if not it.get("image"):
            yield "Container.image should not be null or empty.", (*place, "image")


@rule("ports", "doc API_PortMapping; seen")
def _ports(document: dict[str, Any]) -> Found:
    """One network namespace for all containers of a task: a port of one is a port of all."""
    taken: dict[tuple[int, str], str] = {}
    for container, place in containers(document):
        for number, mapping in enumerate(container.get("portMappings") or ()):
            at: Place = (*place, "portMappings", number)
            port, host = mapping.get("containerPort"), mapping.get("hostPort")
            if mapping.get("containerPortRange"):
                if port is not None or host is not None:
                    yield "cannot specify both single port and port range", at
                ports = span(mapping["containerPortRange"])
                if not ports:
                    yield "Invalid 'containerPortRange' setting", (*at, "containerPortRange")
            elif port is None or not 1 <= port <= 65535:
                yield "Container port must be between 1 and 65535.", (*at, "containerPort")
                continue
            else:
                ports = range(port, port + 1)
                if host is not None and host != port:
                    words = "When networkMode=awsvpc, the host ports and container ports in port mappings must match."
                    yield words, (*at, "hostPort")
            protocol = mapping.get("protocol") or "tcp"
            twice = [it for it in ports if (it, protocol) in taken]
            if twice:
                yield f"container port is used multiple times in task: {twice[0]}/{protocol}", at
            taken |= {(it, protocol): container.get("name", "") for it in ports}


@rule("logs", "doc using_awslogs, API_LogConfiguration; seen")
def _logs(document: dict[str, Any]) -> Found:
    router = any(given(it.get("firelensConfiguration")) for it, _ in containers(document))
    for container, place in containers(document):
        routes = (container.get("firelensConfiguration") or {}).get("options") or {}
        if routes.get("config-file-type") == "s3":
            words = "Fargate launch type does not support FirelensConfiguration config file from 's3'"
            yield words, (*place, "firelensConfiguration")
        logs = container.get("logConfiguration")
        if not logs:
            continue
        driver, options = logs["logDriver"], logs.get("options") or {}
        at: Place = (*place, "logConfiguration")
        if driver not in LOG_DRIVERS:
            words = f"{driver} is not a valid log driver. Must be one of [{', '.join(LOG_DRIVERS)}]"
            yield words, (*at, "logDriver")
        if driver == "awsfirelens" and not router:
            yield (
                "When awsfirelens log driver is specified in log configuration, a firelens configuration"
                " object must be specified",
                at,
            )
        if driver == "awslogs":
            lacks = [it for it in ("awslogs-region", "awslogs-group") if not options.get(it)]
            if lacks:
                yield f"Log driver awslogs requires options: {', '.join(lacks)}", (*at, "options")
            if not options.get("awslogs-stream-prefix"):
                words = "Fargate requires log configuration options to include awslogs-stream-prefix"
                yield words, (*at, "options")


@rule("stop-timeout", "doc ContainerDefinition stopTimeout; seen")
def _stop(document: dict[str, Any]) -> Found:
    for container, place in containers(document):
        for key in ("stop", "start"):
            seconds = container.get(f"{key}Timeout")
            if seconds is not None and seconds < 2:
                words = f"Granular {key} timeout on container '{container.get('name')}' must be at least 2 seconds."
                yield words, (*place, f"{key}Timeout")
        if (container.get("stopTimeout") or 0) > 120:
            yield (
                "Tasks using the Fargate launch type must have a container stop timeout of less than 120 seconds.",
                (*place, "stopTimeout"),
            )


#: Seconds, and a count, that a health check may say. Source: doc API_HealthCheck.
HEALTH = {"interval": (5, 300), "timeout": (2, 60), "retries": (1, 10), "startPeriod": (0, 300)}


@rule("health-check", "doc API_HealthCheck for the ranges", ours=True)
def _health(document: dict[str, Any]) -> Found:
    for container, place in containers(document):
        check = container.get("healthCheck")
        if not check:
            continue
        at: Place = (*place, "healthCheck")
        command = check["command"]
        if command[:1] == ["NONE"]:
            continue
        if len(command) < 2 or command[0] not in ("CMD", "CMD-SHELL"):
            yield "A health check's command begins with CMD or CMD-SHELL, and the command follows", (*at, "command")  # fmt: skip
        for key, (low, high) in HEALTH.items():
            if check.get(key) is not None and not low <= check[key] <= high:
                yield f"A health check's {key} is from {low} to {high}, not {check[key]}", (*at, key)


@rule("depends-on", "doc API_ContainerDependency; seen")
def _order(document: dict[str, Any]) -> Found:
    names = {it.get("name"): it for it, _ in containers(document)}
    edges: dict[Any, set[Any]] = {}
    for container, place in containers(document):
        for number, wanted in enumerate(container.get("dependsOn") or ()):
            at: Place = (*place, "dependsOn", number)
            other = names.get(wanted["containerName"])
            if other is None:
                words = f"Cannot depend on container '{wanted['containerName']}' because it does not exist"
                yield words, (*at, "containerName")
                continue
            edges.setdefault(container.get("name"), set()).add(wanted["containerName"])
            condition = wanted["condition"]
            if condition not in ("START", "COMPLETE", "SUCCESS", "HEALTHY"):
                yield f"Invalid container dependency condition '{condition}'.", (*at, "condition")
            if condition in ("COMPLETE", "SUCCESS") and other.get("essential", True):
                yield (
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                    at,
                )
            if condition == "HEALTHY" and not other.get("healthCheck"):
                yield "A dependency container with HEALTHY condition must have health check configured", at
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError:
        yield "Container dependsOn contains a cycle", ("containerDefinitions",)
