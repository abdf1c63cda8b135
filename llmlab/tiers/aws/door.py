"""The door as HAProxy would be it: the listeners, rules, target groups and registered targets that were created, as a configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import LabError
from .inventory import Inventory, Listener, LoadBalancer, TargetGroup
from .routing import (
    DEFAULT_PORTS,
    Decision,
    Request,
    by_priority,
    deciding,
    decision,
    expression,
    meets,
    values,
)

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
        # A load balancer passes each token on as it comes; without this HAProxy holds it for up to 0.2 s.
        "    option http-no-delay",
        "    timeout connect 5s",
        f"    timeout client {idle}s",
        f"    timeout server {idle}s",
        "    default-server check fastinter 1s downinter 1s resolvers docker init-addr none",
        "",
        "resolvers docker",
        "    parse-resolv-conf",
        "    hold valid 1s",
    ]
    groups = {group.arn: group for group in have.target_groups}
    used: dict[str, TargetGroup] = {}
    for listener in balancer.listeners:
        lines += ["", f"frontend port{listener.port}", *_front(listener, groups, used)]
    written = {}
    for group in used.values():
        written[group.name] = tuple(target for target in group.targets if target in instances)
        lines += ["", f"backend {_name(group)}", *_back(group)]
        asks = f"inter {group.health['interval']}s rise {group.health['healthy']} fall {group.health['unhealthy']}"
        lines += [
            f"    server {server} {server}:{behind(group.port)} {asks}" for server in written[group.name]
        ]
    ports = {listener.port: SHIFT + listener.port for listener in balancer.listeners}
    secure = frozenset(listener.port for listener in balancer.listeners if listener.protocol == "HTTPS")
    return Door("\n".join(lines) + "\n", ports, secure, written)


def _name(group: TargetGroup) -> str:
    return f"targets-{group.name}"


def _front(listener: Listener, groups: Mapping[str, TargetGroup], used: dict[str, TargetGroup]) -> list[str]:
    secure = " ssl crt /door/door.pem alpn h2,http/1.1" if listener.protocol == "HTTPS" else ""
    lines = [f"    bind :{SHIFT + listener.port}{secure}"]
    taken = []
    # HAProxy asks all its http-request lines before it chooses a backend: which rule it is, is settled first.
    for rule in by_priority(listener):
        number = int(rule["Priority"])
        names = []
        for position, condition in enumerate(rule["Conditions"]):
            names.append(f"rule{number}-{position}")
            lines.append(f"    acl {names[-1]} {_condition(condition)}")
        lines.append(
            f"    http-request set-var(txn.rule) int({number}) if !{{ var(txn.rule) -m found }} {' '.join(names)}"
        )
        taken.append((f" if {{ var(txn.rule) -m int eq {number} }}", decision(rule)))
    default = Decision(listener.arn, None, deciding(listener.actions))
    taken.append((" if !{ var(txn.rule) -m found }" if taken else "", default))
    done = [line for when, action in taken for line in _action(action, listener, groups, used, when)]
    return lines + sorted(done, key=lambda line: "_backend " in line.partition(" if ")[0])


def _condition(condition: Mapping[str, Any]) -> str:
    field, given = condition["Field"], values(condition)
    if field == "source-ip":  # here all clients come from this machine; there, from the internet
        return "always_true" if meets(condition, Request("/")) else "always_false"
    if field == "http-request-method":
        return "method -m str " + " ".join(map(_quoted, given))
    if field == "query-string":
        pairs = [
            f"(^|&){expression(it.get('Key') or '*', escaped=True, any_of='[^&=]')}"
            f"={expression(it['Value'], escaped=True, any_of='[^&]')}(&|$)"
            for it in given
        ]
        return f"query -m reg -i {' '.join(map(_quoted, pairs))}"
    patterns = " ".join(_quoted(f"^{expression(it)}$") for it in given)
    if field == "path-pattern":
        return f"path -m reg {patterns}"
    if field == "host-header":
        return f"req.hdr(host),field(1,:) -m reg -i {patterns}"
    if field == "http-header":
        return f"req.hdr({condition['HttpHeaderConfig']['HttpHeaderName']}) -m reg -i {patterns}"
    raise LabError(
        f"A listener rule asks for {field}, which this stand-in for a load balancer does not know."
    )


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _action(
    taken: Decision,
    listener: Listener,
    groups: Mapping[str, TargetGroup],
    used: dict[str, TargetGroup],
    when: str,
) -> list[str]:
    action = taken.action
    if action.get("Type") == "redirect":
        to = action["RedirectConfig"]
        code = "301" if to["StatusCode"] == "HTTP_301" else "302"
        found = taken.location(listener, Request("/", host="%[req.hdr(host),field(1,:)]"))
        assert found is not None
        port = "" if found[2] == DEFAULT_PORTS[found[0]] else f":{found[2]}"
        path = str(to.get("Path") or "/#{path}").replace("/#{path}", "%[path]")
        query = str(to.get("Query") or "#{query}").replace("#{query}", "%[query]")
        asked = "%[pathq]" if (path, query) == ("%[path]", "%[query]") else f"{path}?{query}"
        return [f"    http-request redirect location {found[0]}://{found[1]}{port}{asked} code {code}{when}"]
    if action.get("Type") == "fixed-response":
        reply = action["FixedResponseConfig"]
        says = " ".join(str(reply.get("MessageBody") or "").split())
        kind = reply.get("ContentType") or "text/plain"
        body = f" content-type {kind} string {_quoted(says)}" if says else ""  # HAProxy takes no empty string
        return [f"    http-request return status {reply['StatusCode']}{body}{when}"]
    shares = list(taken.shares.items())
    if not shares:  # a login that a client of an API does not pass, or a forward in which every weight is 0
        refusal = 503 if action.get("Type") == "forward" else 401
        return [f"    http-request return status {refusal}{when}"]
    for arn, _ in shares:
        used.setdefault(arn, groups[arn])
    if len(shares) == 1:
        return [f"    {'use_backend' if when else 'default_backend'} {_name(groups[shares[0][0]])}{when}"]
    lines, reached = [f"    http-request set-var(txn.share) rand(1000){when}"], 0.0
    for arn, share in shares:
        reached += share
        below = f"{{ var(txn.share) -m int lt {round(reached * 1000)} }}"
        lines.append(f"    use_backend {_name(groups[arn])}{when or ' if'} {below}")
    return lines


def _back(group: TargetGroup) -> list[str]:
    balance = {"round_robin": "roundrobin", "least_outstanding_requests": "leastconn"}
    chosen = balance.get(group.attributes.get("load_balancing.algorithm.type", ""), "roundrobin")
    return [
        f"    balance {chosen}",
        "    option abortonclose",  # as a load balancer of AWS: who has left is served by nobody
        f"    option httpchk GET {group.health['path']}",
        f"    http-check expect status {str(group.health['matcher']).replace(' ', '')}",
    ]
