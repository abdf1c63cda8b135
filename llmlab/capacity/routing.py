"""Which server a request is given to (numba)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .jit import inlined, jit
from .state import POWER_OF_TWO, PREFIX_HASH, RANDOM, ROUND_ROBIN


@inlined
def mixed(value: Any) -> Any:
    """64 bits that look like chance (the finalizer of SplitMix64: Steele, Lea and Flood, OOPSLA 2014)."""
    z = np.uint64(value) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@inlined
def drawn(seed: Any, number: int, attempt: int, below: int) -> int:
    """A number from 0 to below - 1 that depends on the seed and the request alone, so that two fleets see the same luck."""
    value = mixed(mixed(seed ^ mixed(np.uint64(number))) + np.uint64(attempt))
    return int(value % np.uint64(below))


@inlined
def candidate(server: Any, at_server: int) -> bool:
    """Whether a server may be given a request: with the queue at the door, it needs a free slot."""
    return bool(server.accepts if at_server else server.open)


@jit
def nth(servers: Any, region: Any, at_server: int, number: int) -> int:
    """The candidate of a region before which there are `number`."""
    for which in range(region.first, region.last):
        if candidate(servers[which], at_server):
            if number == 0:
                return int(which)
            number -= 1
    return -1


@jit
def hashed(servers: Any, region: Any, at_server: int, prefix: int, bound: float) -> int:
    """The server that a prefix belongs to, or the next in its own order, where that has more than `bound` times the mean load.

    The order is that of hash(prefix, server) (rendezvous hashing: Thaler and Ravishankar, 1998), so a server that comes or goes
    moves no other's prefixes; the bound is that of Mirrokni, Thorup and Zadimoghaddam (2018), of HAProxy's `hash-balance-factor` too.
    """
    most = math.ceil(bound * (region.load + 1) / region.up)
    best, highest = -1, np.uint64(0)
    for which in range(region.first, region.last):
        server = servers[which]
        if candidate(server, at_server) and server.load < most:
            score = mixed(mixed(np.uint64(prefix)) ^ np.uint64(which))
            if best < 0 or score > highest:
                best, highest = which, score
    return best


@inlined
def chosen(world: Any, servers: Any, region: Any, ranks: Any, request: Any) -> int:
    """The policy's choice in a region that has a candidate."""
    policy, at_server = world.policy, world.at_server
    if policy == ROUND_ROBIN:
        which = region.turn
        while True:
            if which >= region.last or which < region.first:
                which = region.first
            if candidate(servers[which], at_server):
                region.turn = which + 1
                return int(which)
            which += 1
    many = region.up if at_server else region.open
    if policy == RANDOM:
        return nth(servers, region, at_server, drawn(world.seed, request.number, request.attempts, many))
    if policy == POWER_OF_TWO:
        first = drawn(world.seed, request.number, 2 * request.attempts, many)
        other = drawn(world.seed, request.number, 2 * request.attempts + 1, max(many - 1, 1))
        one = nth(servers, region, at_server, first)
        if many == 1:
            return one
        two = nth(servers, region, at_server, other + 1 if other >= first else other)
        return two if servers[two].load < servers[one].load else one
    if policy == PREFIX_HASH and request.prefix >= 0:
        which = hashed(servers, region, at_server, request.prefix, world.bound)
        if which >= 0:
            return which
    return int(ranks[1]) % len(servers)


@inlined
def pick(arena: Any, which: int) -> int:
    """The server for a request: in the nearest region with a free slot; -1 where it has to wait."""
    world, request, order = arena.world[0], arena.requests[which], arena.order
    for full in range(2 if world.at_server else 1):
        for near in range(order.shape[1]):
            number = order[request.region, near]
            if number < 0:
                break
            region = arena.regions[number]
            if (region.up if full else region.open) > 0:
                return chosen(world, arena.servers, region, arena.ranks[number], request)
    return -1
