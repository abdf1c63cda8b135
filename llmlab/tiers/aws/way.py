"""The way of a client's requests through a load balancer's listeners to servers, and where it ends otherwise.

It is the only place that says whether a stack serves: its rules are followed (`routing`) for each request that the lab promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .inventory import AutoScalingGroup, Inventory, Listener, LoadBalancer, TargetGroup
from .routing import DEFAULT_PORTS, Decision, Request, by_priority, decide, deciding, decision, missed

JSON = (("Authorization", "Bearer sk-…"), ("Content-Type", "application/json"), ("User-Agent", "a-client/1"))
#: What clients of the service ask for: the load balancer must let all of it through.
PROMISED = (
    Request("/health"),
    Request("/v1/models", headers=JSON),
    Request("/v1/completions", "POST", headers=JSON),
    Request("/v1/chat/completions", "POST", headers=JSON),
)
#: What llama-server answers besides; whether it is let through is for the stack to say.
BESIDES = (
    Request("/completion", "POST", headers=JSON),
    Request("/tokenize", "POST", headers=JSON),
    Request("/metrics", headers=JSON),
)
Where = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class LostRequests:
    """Requests that do not arrive at a server, or not all of them."""

    requests: tuple[Request, ...]
    said: str  # answered with 404 by the default action
    arns: tuple[str, ...]  # of the rules and the listener that it speaks of

    def words(self, where: Where = lambda _: "") -> str:
        """`POST /v1/completions: answered with 404 by the default action (main.tf:210)`."""
        places = [place for arn in self.arns if (place := where(arn))]
        asked = ", ".join(map(str, self.requests))
        return f"{asked}: {self.said}" + (f" ({', '.join(places)})" if places else "")


@dataclass(frozen=True, slots=True)
class Way:
    """From an HTTPS listener to the servers that most requests arrive at, and which requests do not arrive."""

    balancer: LoadBalancer
    listener: Listener
    group: TargetGroup
    fleet: AutoScalingGroup
    served: tuple[tuple[TargetGroup, AutoScalingGroup], ...]  # all that get a share, the one above first
    lost: tuple[LostRequests, ...]
    besides: tuple[LostRequests, ...]  # not promised, and not let through


def find(have: Inventory, domain: str) -> Way | None:
    """The HTTPS listener at which most of what is promised arrives; None: nothing arrives anywhere.

    :param domain: the host that clients ask for.
    """
    best: tuple[float, Way] | None = None
    for balancer in have.balancers:
        for listener in balancer.listeners:
            if listener.protocol != "HTTPS":
                continue
            shares: dict[str, float] = {}
            for request in PROMISED:
                for arn, share in decide(listener, request.at(domain)).shares.items():
                    shares[arn] = shares.get(arn, 0) + share
            served = _served(have, shares)
            arrived = sum(shares[group.arn] for group in {group.arn: group for group, _ in served}.values())
            if served and (best is None or arrived > best[0]):
                lost, besides = (losses(have, listener, domain, asked) for asked in (PROMISED, BESIDES))
                best = arrived, Way(balancer, listener, *served[0], tuple(served), lost, besides)
    return best and best[1]


def _served(have: Inventory, shares: dict[str, float]) -> list[tuple[TargetGroup, AutoScalingGroup]]:
    """Target groups with a fleet behind them; the one with the largest share first."""
    return sorted(
        (
            (group, fleet)
            for group in have.target_groups
            for fleet in have.fleets
            if group.arn in shares and group.arn in fleet.target_groups
        ),
        key=lambda pair: -shares[pair[0].arn],
    )


def losses(
    have: Inventory, listener: Listener, domain: str, asked: tuple[Request, ...] = PROMISED
) -> tuple[LostRequests, ...]:
    """What does not arrive at a fleet, with the rule that decides, and what the rules that lead to one ask for."""
    names = {group.arn: group.name for group in have.target_groups}
    backed = {arn for fleet in have.fleets for arn in fleet.target_groups}
    found: dict[tuple[str, tuple[str, ...]], list[Request]] = {}
    for request in (promise.at(domain) for promise in asked):
        taken = decide(listener, request)
        astray = {arn: share for arn, share in taken.shares.items() if arn not in backed}
        arns = [taken.arn]
        if taken.shares and not astray:
            continue
        if astray:
            part = sum(astray.values())
            said = f"{taken.words(listener, request, names)}; {part:.0%} of it to " + ", ".join(
                f"{names.get(arn, arn)}, which belongs to no Auto Scaling group" for arn in astray
            )
        else:
            said = f"{taken.words(listener, request, names)} of {listener.protocol} {listener.port}"
            for rule in by_priority(listener):
                lacks = missed(rule, request)
                if lacks and set(decision(rule).shares) & backed:
                    said += f"; rule {rule['Priority']} leads to servers, and asks for {' and '.join(lacks)}"
                    arns.append(str(rule.get("RuleArn", "")))
        found.setdefault((said, tuple(arns)), []).append(request)
    return tuple(LostRequests(tuple(requests), *key) for key, requests in found.items())


def nowhere(have: Inventory, domain: str, where: Where = lambda _: "") -> str:
    """Why nothing arrives: each HTTPS listener's answer, or what there is instead of one."""
    secure = [
        listener
        for balancer in have.balancers
        for listener in balancer.listeners
        if listener.protocol == "HTTPS"
    ]
    if not secure:
        there = [
            f"{listener.protocol} {listener.port}"
            for balancer in have.balancers
            for listener in balancer.listeners
        ]
        return f"no load balancer listens for HTTPS (listeners: {', '.join(there) or 'none'})"
    if not have.fleets:
        return "there is no Auto Scaling group"
    return "; ".join(lost.words(where) for listener in secure for lost in losses(have, listener, domain))


def in_clear(listener: Listener) -> list[Decision]:
    """What a listener forwards without TLS: keys and prompts can be read on the way."""
    if listener.protocol == "HTTPS":
        return []
    rules = [decision(rule) for rule in by_priority(listener)]
    default = Decision(listener.arn, None, deciding(listener.actions))
    return [choice for choice in (*rules, default) if choice.shares]


def redirects(listener: Listener, domain: str) -> bool:
    """Whether it sends clients of the domain to HTTPS, whatever they ask for."""
    asked = [request.at(domain) for request in PROMISED]
    found = [decide(listener, request).location(listener, request) for request in asked]
    return all(to is not None and to[0] == "https" for to in found)


def misled(balancer: LoadBalancer, domain: str) -> list[str]:
    """Redirects that lead to where nobody of this load balancer speaks TLS."""
    secure = {listener.port for listener in balancer.listeners if listener.protocol == "HTTPS"}
    found: dict[str, None] = {}
    for listener in balancer.listeners:
        for request in (promise.at(domain) for promise in PROMISED):
            to = decide(listener, request).location(listener, request)
            if to is not None and (to[0] != "https" or (to[1] == domain and to[2] not in secure)):
                port = "" if to[2] == DEFAULT_PORTS[to[0]] else f":{to[2]}"
                found.setdefault(
                    f"{listener.protocol} {listener.port} redirects to {to[0]}://{to[1]}{port}, where nobody speaks TLS"
                )
    return list(found)
