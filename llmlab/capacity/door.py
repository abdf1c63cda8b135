"""What happens to a request at the door: served, kept waiting, shed (numba)."""

from __future__ import annotations

import math
from typing import Any

from .jit import inlined, jit
from .routing import pick
from .server import admit, drained, end, plan, tell, turn_off
from .state import DISPLACED, FULL, LATE, NEVER, SHED


@inlined
def push(requests: Any, queue: Any, which: int) -> None:
    """Join the end of a queue."""
    requests[which].link = -1
    if queue.count:
        requests[queue.tail].link = which
    else:
        queue.head = which
    queue.tail = which
    queue.count += 1


@inlined
def pop(requests: Any, queue: Any) -> int:
    """Take the first of a queue."""
    which = queue.head
    queue.head = requests[which].link
    queue.count -= 1
    return int(which)


@jit
def watch(arena: Any) -> None:
    """When the next request has waited too long."""
    world = arena.world[0]
    world.expiry = NEVER
    if world.max_wait < NEVER:
        for user in range(world.users):
            queue = arena.queues[user]
            if queue.count:
                world.expiry = min(world.expiry, arena.requests[queue.head].queued + world.max_wait)


@jit
def shed(arena: Any, which: int, reason: int, now: float) -> None:
    """Send a request away (429)."""
    world, request = arena.world[0], arena.requests[which]
    request.status, request.server, request.ttft = SHED, -1, math.nan
    world.active -= 1
    world.end = now
    if reason == FULL:
        world.full += 1
    elif reason == LATE:
        world.late += 1
    else:
        world.displaced += 1


@inlined
def settled(arena: Any, number: int) -> None:
    """After any change to the slots of a server."""
    plan(arena.world, arena.servers, arena.slots, arena.step, arena.tree, number)
    tell(arena, number)


@inlined
def assign(arena: Any, number: int, which: int, now: float) -> None:
    """Give a request to a server: to a slot, or to its own queue."""
    world, server = arena.world[0], arena.servers[number]
    server.load += 1
    arena.regions[server.region].load += 1
    if server.busy < world.slots:
        admit(arena, number, which, now)
        plan(arena.world, arena.servers, arena.slots, arena.step, arena.tree, number)
    else:
        push(arena.requests, arena.queues[world.users + 1 + number], which)
    tell(arena, number)


@jit
def displaced(arena: Any, user: int) -> bool:
    """Whether no region that may serve a user is alive, where not every region may."""
    regions, order = arena.regions, arena.order
    for near in range(order.shape[1] - 1):
        if order[user, near] < 0:
            return True
        if regions[order[user, near]].alive > 0:
            return False
    return False


@inlined
def arrive(arena: Any, which: int, now: float) -> None:
    """A request is at the door."""
    world, request = arena.world[0], arena.requests[which]
    number = pick(arena, which)
    if number >= 0:
        assign(arena, number, which, now)
    elif displaced(arena, request.region):
        shed(arena, which, DISPLACED, now)
    elif world.waiting >= world.max_queue:
        shed(arena, which, FULL, now)
    else:
        request.queued, request.turn = now, world.turn
        world.turn += 1
        push(arena.requests, arena.queues[request.region], which)
        world.waiting += 1
        watch(arena)


@jit
def expire(arena: Any, now: float) -> None:
    """Send away the one that has waited too long."""
    world, requests = arena.world[0], arena.requests
    for user in range(world.users):
        queue = arena.queues[user]
        if queue.count and requests[queue.head].queued + world.max_wait <= now:
            world.waiting -= 1
            shed(arena, pop(requests, queue), LATE, now)
            break
    watch(arena)


@jit
def welcome(arena: Any, user: int, number: int) -> bool:
    """Whether users may be served in a region that has room."""
    order, region = arena.order, arena.regions[number]
    if (region.up if arena.world[0].at_server else region.open) == 0:
        return False
    for near in range(order.shape[1]):
        if order[user, near] == number:
            return True
        if order[user, near] < 0:
            break
    return False


@jit
def eldest(arena: Any, region: int) -> int:
    """The user region whose first request waits longest and may go to a region, or with -1 to any; -1 for none."""
    best = -1
    for user in range(arena.world[0].users):
        queue = arena.queues[user]
        if queue.count == 0:
            continue
        if best >= 0 and arena.requests[queue.head].turn > arena.requests[arena.queues[best].head].turn:
            continue
        for number in range(len(arena.regions)):
            if (number == region or region < 0) and welcome(arena, user, number):
                best = user
                break
    return best


@inlined
def refill(arena: Any, number: int, now: float) -> None:
    """Requests of a server have ended: those that wait take their slots."""
    world, server = arena.world[0], arena.servers[number]
    end(arena, number, now)
    own = arena.queues[world.users + 1 + number]
    while own.count and server.busy < world.slots:
        admit(arena, number, pop(arena.requests, own), now)
    if world.waiting and not world.at_server:
        tell(arena, number)
        while world.waiting and server.open:
            user = eldest(arena, server.region)
            if user < 0:
                break
            world.waiting -= 1
            server.load += 1
            arena.regions[server.region].load += 1
            admit(arena, number, pop(arena.requests, arena.queues[user]), now)
            tell(arena, number)
        watch(arena)
    settled(arena, number)
    if drained(arena, number):
        turn_off(arena, number, now)


@jit
def reopen(arena: Any, now: float) -> None:
    """There is room that was not there: let those in who wait."""
    while arena.world[0].waiting:
        user = eldest(arena, -1)
        if user < 0:
            break
        which = pop(arena.requests, arena.queues[user])
        arena.world[0].waiting -= 1
        assign(arena, pick(arena, which), which, now)
    watch(arena)
