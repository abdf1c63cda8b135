"""The door as HAProxy would be it: the listeners, rules, target groups and registered targets that were created, as a configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import LabError
from .inventory import Inventory, Listener, LoadBalancer, TargetGroup

#: Listener port -> port of the container: HAProxy's user may not bind the low ones everywhere.
SHIFT = 10_000


@dataclass(frozen=True, slots=True)
class Door:
    """A configuration for HAProxy, and at which port of its container each listener answers."""

    config: str
    ports: dict[int, int]
    secure: frozenset[int]  # listeners that speak TLS
    targets: dict[str, tuple[str, ...]]  # target group's name -> servers


def door(
    have: Inventory, balancer: LoadBalancer, behind: Callable[[int], int], instances: Collection[str]
) -> Door:
    """Write it.

    :param behind: port of an instance -> port of what stands for it.
    :param instances: those that something stands for, under their names.
    :raises LabError: when it has no listener, or an action that stands in no load balancer here.
    """
    if not balancer.listeners:
        raise LabError(f"The load balancer {balancer.name} has no listener: it answers nobody.")
    idle = balancer.attributes.get("idle_timeout.timeout_seconds", "60")
    lines = [
        "global",
        "    log stdout format raw local0 warning",
        "",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        f"    timeout client {idle}s",
        f"    timeout server {idle}s",
        "    default-server check fastinter 1s downinter 1s resolvers docker init-addr none",
        "",
        "resolvers docker",
        "    parse-resolv-conf",
        "    hold valid 1s",
    ]
    groups = {one.arn: one for one in have.target_groups}
    used: dict[str, TargetGroup] = {}
    for listener in balancer.listeners:
        lines += ["", f"frontend port{listener.port}", *_front(listener, groups, used)]
    written = {}
    for group in used.values():
        written[group.name] = tuple(one for one in group.targets if one in instances)
        lines += ["", f"backend {_name(group)}", *_back(group)]
        asks = f"inter {group.health['interval']}s rise {group.health['healthy']} fall {group.health['unhealthy']}"
        lines += [f"    server {one} {one}:{behind(group.port)} {asks}" for one in written[group.name]]
    ports = {one.port: SHIFT + one.port for one in balancer.listeners}
    secure = frozenset(one.port for one in balancer.listeners if one.protocol == "HTTPS")
    return Door("\n".join(lines) + "\n", ports, secure, written)


def _name(group: TargetGroup) -> str:
    return f"targets-{group.name}"


def _front(listener: Listener, groups: Mapping[str, TargetGroup], used: dict[str, TargetGroup]) -> list[str]:
    secure = " ssl crt /door/door.pem alpn h2,http/1.1" if listener.protocol == "HTTPS" else ""
    lines = [f"    bind :{SHIFT + listener.port}{secure}"]
    for number, rule in enumerate(sorted(listener.rules, key=lambda one: int(one["Priority"]))):
        names = []
        for position, condition in enumerate(rule["Conditions"]):
            names.append(f"rule{number}-{position}")
            lines.append(f"    acl {names[-1]} {_condition(condition)}")
        lines.append(_action(rule["Actions"][-1], groups, used, " if " + " ".join(names)))
    lines.append(_action(listener.actions[-1], groups, used, ""))
    return lines


def _condition(one: Mapping[str, Any]) -> str:
    values: list[str] = one.get("Values") or next(
        (it["Values"] for it in one.values() if isinstance(it, dict)), []
    )
    patterns = ["^" + re.escape(it).replace(r"\*", ".*").replace(r"\?", ".") + "$" for it in values]
    sample = {
        "path-pattern": "path",
        "host-header": "req.hdr(host),field(1,:)",
        "http-request-method": "method",
    }
    if one["Field"] not in sample:
        raise LabError(
            f"A listener rule asks for {one['Field']}, which this stand-in for a load balancer does not know."
        )
    return f"{sample[one['Field']]} -m reg -i {' '.join(patterns)}"


def _action(
    one: Mapping[str, Any], groups: Mapping[str, TargetGroup], used: dict[str, TargetGroup], when: str
) -> str:
    if one["Type"] == "redirect":
        to = one["RedirectConfig"]
        code = "301" if to["StatusCode"] == "HTTP_301" else "302"
        scheme = to["Protocol"].lower().replace("#{protocol}", "http")
        return f"    http-request redirect scheme {scheme} code {code}{when}"
    if one["Type"] == "fixed-response":
        reply = one["FixedResponseConfig"]
        return f'    http-request return status {reply["StatusCode"]} content-type text/plain string ""{when}'
    if one["Type"] == "forward":
        arn = one.get("TargetGroupArn") or one["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"]
        group = groups[arn]
        used.setdefault(arn, group)
        return f"    {'use_backend' if when else 'default_backend'} {_name(group)}{when}"
    raise LabError(
        f"A listener's action is {one['Type']}, which this stand-in for a load balancer does not know."
    )


def _back(group: TargetGroup) -> list[str]:
    balance = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn"}
    chosen = balance.get(group.attributes.get("load_balancing.algorithm.type", ""), "roundrobin")
    return [
        f"    balance {chosen}",
        f"    option httpchk GET {group.health['path']}",
        f"    http-check expect status {str(group.health['matcher']).replace(' ', '')}",
    ]
