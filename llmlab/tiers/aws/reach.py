"""Who can open a connection to whom, as the security groups that were created say it. Nothing is sent: the rules are read.

A connection needs an opening at both ends: out of the source's groups, and into the destination's. (Replies need none: security
groups keep state. Subnets' own access lists are left as AWS makes them, which is open.)
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .inventory import AutoScalingGroup, Inventory, LoadBalancer, Rule
from .way import in_clear

ANY = (0, 65535)
Span = tuple[int, int]
INTERNET, NEIGHBOUR, DOOR, SERVER = (
    "the internet",
    "another machine of the VPC",
    "the load balancer",
    "a server",
)


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a connection: its security groups, or (None) an address outside all of them."""

    name: str
    groups: tuple[str, ...] | None
    inside: bool  # of the VPC's network


@dataclass(frozen=True, slots=True)
class Reach:
    """TCP ports of one party that another can reach, as spans; empty: none."""

    source: str
    to: str
    spans: tuple[Span, ...]

    def words(self) -> str:
        """`443`, `80, 443`, `all`, or `none`."""
        parts = [
            "all" if span == ANY else str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
            for span in self.spans
        ]
        return ", ".join(parts) or "none"

    def only(self, *ports: int) -> bool:
        """Whether it is these ports and no other."""
        return set(self.spans) == {(port, port) for port in ports}


def meant(cell: Reach, balancer: LoadBalancer, port: int) -> bool:
    """Whether it is as a service behind a load balancer wants it.

    The internet reaches the load balancer at 443, and where it forwards nothing without TLS; the load balancer reaches the servers at
    their port. Whoever is in the VPC may be let in at the door like everybody, and nowhere else.
    """
    if cell.to == SERVER:
        return cell.only(port) if cell.source == DOOR else not cell.spans
    harmless = [it.port for it in balancer.listeners if it.protocol == "HTTP" and not in_clear(it)]
    return cell.only(443) or cell.only(443, *harmless) or (cell.source != INTERNET and not cell.spans)


def matrix(have: Inventory, balancer: LoadBalancer, fleet: AutoScalingGroup) -> list[Reach]:
    """Who reaches the load balancer and the servers, at which TCP ports."""
    door, server = Party(DOOR, balancer.groups, True), Party(SERVER, fleet.groups, True)
    sources = [Party(INTERNET, None, False), Party(NEIGHBOUR, None, True), door, server]
    return [
        Reach(source.name, to.name, reachable(have, source, to))
        for to in (door, server)
        for source in sources
        if not (source is door and to is door)
    ]


def reachable(have: Inventory, source: Party, to: Party) -> tuple[Span, ...]:
    """The TCP ports of `to` at which `source` gets through."""
    inward = _spans(have, to.groups or (), source, egress=False)
    if source.groups is None:
        return _merged(inward)
    outward = _spans(have, source.groups, to, egress=True)
    both = [(max(a, c), min(b, d)) for a, b in inward for c, d in outward if max(a, c) <= min(b, d)]
    return _merged(both)


def _spans(have: Inventory, groups: Sequence[str], peer: Party, *, egress: bool) -> list[Span]:
    return [
        ANY if rule.low is None or rule.high is None else (rule.low, rule.high)
        for rule in have.rules
        if rule.group in groups
        and rule.egress == egress
        and rule.protocol in ("-1", "tcp", "6")
        and _meets(rule, peer, have.network)
    ]


def _meets(rule: Rule, peer: Party, network: str) -> bool:
    if rule.peer is not None:
        return peer.groups is not None and rule.peer in peer.groups
    if rule.cidr is None:
        return False
    allowed = ipaddress.ip_network(rule.cidr, strict=False)
    if peer.inside:
        return allowed.version == 4 and allowed.overlaps(ipaddress.ip_network(network))
    return not allowed.is_private or allowed.prefixlen == 0


def _merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    out: list[Span] = []
    for low, high in sorted(spans):
        if out and low <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return tuple(out)
