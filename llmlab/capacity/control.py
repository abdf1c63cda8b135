"""What changes a fleet while it serves: failures, servers that come and go (numba)."""

from __future__ import annotations

import math
from typing import Any

from .door import arrive, pop, push, reopen, settled
from .jit import jit
from .server import forget, leave, tell, turn_off
from .state import DRAINING, FAILED, NEVER, OFF, STARTING, UP


@jit
def lose(arena: Any, first: int, last: int, now: float) -> None:
    """Servers fail: what is in flight there, and in their own queues, goes back to the door or has failed."""
    world, servers, requests = arena.world[0], arena.servers, arena.requests
    width = world.slots
    lost = arena.queues[world.users]
    for number in range(first, last):
        server = servers[number]
        server.down += 1
        if server.down > 1:
            continue
        arena.regions[server.region].alive -= 1
        for place in range(number * width, number * width + width):
            if arena.slots[place].request >= 0:
                push(requests, lost, leave(arena, number, place, now))
        own = arena.queues[world.users + 1 + number]
        while own.count:
            server.load -= 1
            arena.regions[server.region].load -= 1
            push(requests, lost, pop(requests, own))
        forget(arena.slots, number, width)
        server.tokens, server.context, server.prefilled = 0.0, 0.0, now
        if server.state == DRAINING:
            turn_off(arena, number, now)
        settled(arena, number)
    while lost.count:
        which = pop(requests, lost)
        request = requests[which]
        if request.attempts < world.retries:
            request.attempts += 1
            world.retried += 1
            arrive(arena, which, now)
        else:
            fail(arena, which, now)


@jit
def fail(arena: Any, which: int, now: float) -> None:
    """A request is lost for good."""
    arena.requests[which].status, arena.requests[which].ttft = FAILED, math.nan
    world = arena.world[0]
    world.active -= 1
    world.failed += 1
    world.end = now


@jit
def recover(arena: Any, first: int, last: int, now: float) -> None:
    """Servers are back."""
    for number in range(first, last):
        server = arena.servers[number]
        server.down -= 1
        if server.down == 0:
            arena.regions[server.region].alive += 1
            tell(arena, number)
    reopen(arena, now)


@jit
def become_ready(arena: Any, now: float) -> None:
    """Servers have started."""
    world = arena.world[0]
    world.ready = NEVER
    for number in range(len(arena.servers)):
        server = arena.servers[number]
        if server.state == STARTING and server.ready <= now:
            server.state, server.prefilled = UP, now
            tell(arena, number)
        elif server.state == STARTING:
            world.ready = min(world.ready, server.ready)
    reopen(arena, now)


@jit
def start(arena: Any, region: Any, many: int, now: float) -> bool:
    """Start up to so many servers, the first that are off and not in a failure; whether any."""
    world, began = arena.world[0], False
    for number in range(region.first, region.last):
        server = arena.servers[number]
        if many > 0 and server.state == OFF and server.down == 0:
            server.state, server.born, server.ready = STARTING, now, now + world.startup
            world.ready = min(world.ready, server.ready)
            many -= 1
            began = True
    return began


@jit
def stop(arena: Any, region: Any, many: int, now: float) -> None:
    """Stop so many servers: first those that are only starting, then those with the least to finish; of equals, the last."""
    servers = arena.servers
    for _ in range(many):
        best = -1
        for number in range(region.first, region.last):
            server = servers[number]
            if server.down or (server.state != STARTING and server.state != UP):
                continue
            if (
                best < 0
                or server.state < servers[best].state
                or (server.state == servers[best].state and server.load <= servers[best].load)
            ):
                best = number
        if servers[best].state == UP and servers[best].load > 0:
            servers[best].state = DRAINING
        else:
            turn_off(arena, best, now)
        tell(arena, best)


@jit
def scale(arena: Any, number: int, now: float) -> bool:
    """The autoscaler looks at a region; whether it has started a server."""
    world, region = arena.world[0], arena.regions[number]
    requests, running = region.load, 0
    for user in range(world.users):
        if arena.order[user, 0] == number:
            requests += arena.queues[user].count
    for which in range(region.first, region.last):
        server = arena.servers[which]
        if server.down == 0 and (server.state == STARTING or server.state == UP):
            running += 1
    wanted = min(max(math.ceil(requests / world.target), world.min), world.max)
    if wanted >= running:
        region.below = NEVER
        return start(arena, region, wanted - running, now)
    if region.below == NEVER:
        region.below, region.highest = now, wanted
    region.highest = max(region.highest, wanted)
    if now - region.below >= world.down_delay:
        stop(arena, region, running - region.highest, now)
        region.below = NEVER
    return False


@jit
def control(arena: Any) -> bool:
    """What is due at `world.control`: the ends and beginnings of failures, then servers that are ready, then the autoscaler.

    Whether anything can come of it: not, where only the autoscaler is left and it does nothing.
    """
    world, now = arena.world[0], arena.world[0].control
    alive = True
    event = arena.events[world.event]
    if event.time <= now:
        world.event += 1
        if event.down:
            lose(arena, event.first, event.last, now)
        else:
            recover(arena, event.first, event.last, now)
    elif world.ready <= now:
        become_ready(arena, now)
    else:
        world.ticks += 1
        world.tick = world.ticks * world.interval
        began = False
        for number in range(len(arena.regions)):
            began |= scale(arena, number, now)
        alive = began or arena.tree[1] < NEVER or event.time < NEVER or world.ready < NEVER
    world.control = min(arena.events[world.event].time, world.ready, world.tick)
    return alive
