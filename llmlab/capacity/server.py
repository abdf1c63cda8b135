"""One server: prompts are computed one after another, then all busy slots get a token a step (numba).

While a server does prefill, its generating slots stand still; after it, b busy slots get one token each a step. So a virtual clock
that counts tokens is all that is needed: it stands until `prefilled`, and a request with m tokens, whose first comes with prefill,
ends when the clock shows m - 1 more. It is brought up to date only when b changes.

A step takes `step[b - 1]` and `attend` for each token of context in the busy slots, C in all, which are b more after it. So k steps take
k · (step[b - 1] + attend · C) + attend · b · k (k - 1) / 2 seconds; each slot's context is kept less half a token, for the - 1. Of a
request it is prompt + 1 at its first step: what the clock shows beside what it showed at the beginning is added to that.
"""

from __future__ import annotations

import math
from typing import Any

from .jit import inlined, jit
from .state import DRAINING, NEVER, OFF, SERVED, UP

#: Two ends are one when so small a part of a token is between them: a step ends for all slots at once.
SAME = 1e-9


@inlined
def paces(world: Any, server: Any, step: Any) -> tuple[float, float]:
    """Seconds of a token at this moment, and half of what each token makes the next one longer."""
    more = world.attend * server.busy
    return step[server.busy - 1] + world.attend * server.context + more * server.tokens, more / 2


@inlined
def advance(world: Any, server: Any, now: float, step: Any) -> None:
    """Bring the virtual clock of a server to `now`."""
    since = max(server.at, server.prefilled)
    if now > since and server.busy > 0:
        each, more = paces(world, server, step)
        gone = now - since
        # The root of each · k + more · k² = gone, in the form that loses no digits where `more` is small, or 0.
        server.tokens += 2 * gone / (each + math.sqrt(each * each + 4 * more * gone))
    server.at = now


@inlined
def plan(world: Any, servers: Any, slots: Any, step: Any, tree: Any, number: int) -> None:
    """Find which request of a server ends next, and enter when into the tournament of all servers."""
    server, width = servers[number], world[0].slots
    lowest, which, soonest, single = NEVER, -1, NEVER, -1
    for place in range(number * width, number * width + width):
        slot = slots[place]
        if slot.mark < lowest:
            lowest, which = slot.mark, place
        if slot.single < soonest:
            soonest, single = slot.single, place
    if which >= 0:
        since = max(server.at, server.prefilled)
        each, more = paces(world[0], server, step)
        left = max(lowest - server.tokens, 0.0)
        end = since + left * (each + more * left)
        if end < soonest:
            soonest, single = end, which
    which = single
    server.next_slot = which
    enter(tree, world[0].leaves + number, soonest)


@inlined
def enter(tree: Any, node: int, value: float) -> None:
    """Change a leaf of a tournament: each node has the least of the two below it, `2 * node` and the next."""
    tree[node] = value
    while node > 1:
        node >>= 1
        least = min(tree[2 * node], tree[2 * node + 1])
        if tree[node] == least:
            break
        tree[node] = least


@inlined
def first_to_end(tree: Any, leaves: int) -> int:
    """The server whose request ends next; of several, the first."""
    node = 1
    while node < leaves:
        node = 2 * node + int(tree[2 * node] > tree[2 * node + 1])
    return node - leaves


@inlined
def tell(arena: Any, number: int) -> None:
    """Keep what a region knows of a server: whether it takes requests, has a free slot, and has the fewest requests."""
    world, server = arena.world[0], arena.servers[number]
    region = arena.regions[server.region]
    accepts = 1 if server.state == UP and server.down == 0 else 0
    free = 1 if accepts and server.busy < world.slots else 0
    region.up += accepts - server.accepts
    region.open += free - server.open
    server.accepts, server.open = accepts, free
    if world.ranked:
        # Of servers with as many requests, the first: a number that holds both.
        rank = (
            float(server.load * len(arena.servers) + number)
            if (accepts if world.at_server else free)
            else NEVER
        )
        enter(arena.ranks[server.region], region.leaves + number - region.first, rank)


@inlined
def admit(arena: Any, number: int, which: int, now: float) -> None:
    """Give a free slot to a request: one that holds the beginning of its prompt, else the least recently used."""
    world, server, request = arena.world[0], arena.servers[number], arena.requests[which]
    slots, width = arena.slots, world.slots
    advance(world, server, now, arena.step)
    best, cached, longest = number * width, 0, NEVER
    for place in range(number * width, number * width + width):
        if slots[place].used < longest:
            best, longest = place, slots[place].used
    if request.prefix >= 0:
        for place in range(number * width, number * width + width):
            slot = slots[place]
            if slot.request < 0 and slot.prefix == request.prefix:
                best, cached = place, min(slot.prefix_tokens, request.prefix_tokens, request.prompt)
                break
    fresh = request.prompt - cached
    server.prefilled = (
        max(server.prefilled, now) + world.overhead + fresh / world.prefill + world.square * fresh * fresh
    )
    server.busy += 1
    slot = slots[best]
    slot.request, slot.used = which, NEVER
    if request.output > 1:
        slot.mark = server.tokens + (request.output - 1)
        slot.context = request.prompt + 0.5 - server.tokens
        server.context += slot.context
    else:
        slot.single = server.prefilled
    slot.prefix, slot.prefix_tokens = request.prefix, request.prefix_tokens
    request.server, request.started = number, now
    request.ttft = server.prefilled - request.arrival + arena.trip[request.region, server.region]
    world.cached += cached


@inlined
def leave(arena: Any, number: int, place: int, now: float) -> int:
    """Free a slot, whatever became of its request, which is returned."""
    server, slot, world = arena.servers[number], arena.slots[place], arena.world[0]
    which = int(slot.request)
    server.busy -= 1
    server.load -= 1
    arena.regions[server.region].load -= 1
    slot.request, slot.used = -1, now
    slot.mark = slot.single = NEVER
    server.context -= slot.context
    slot.context = 0.0
    world.slot_seconds += now - arena.requests[which].started
    return which


@inlined
def serve(arena: Any, number: int, place: int, now: float) -> None:
    """A request has its last token."""
    request = arena.requests[leave(arena, number, place, now)]
    request.status = SERVED
    request.e2e = now - request.arrival + arena.trip[request.region, arena.servers[number].region]
    world = arena.world[0]
    world.active -= 1
    world.end = now
    world.served += 1
    world.prompt += request.prompt
    world.output += request.output


@inlined
def end(arena: Any, number: int, now: float) -> None:
    """Free the slots whose requests end on this server now: all those of one decode step, or one that had but one token."""
    server, slots, width = arena.servers[number], arena.slots, arena.world[0].slots
    first = server.next_slot
    if slots[first].single < NEVER:
        advance(arena.world[0], server, now, arena.step)
        serve(arena, number, first, now)
    else:
        server.tokens, server.at = slots[first].mark, now
        serve(arena, number, first, now)
        for place in range(number * width, number * width + width):
            if slots[place].mark <= server.tokens + SAME:
                serve(arena, number, place, now)
    if server.busy == 0:
        server.tokens = server.context = 0.0  # from here again, so that the clock keeps its digits


@jit
def turn_off(arena: Any, number: int, now: float) -> None:
    """A server that has nothing left to do goes, and is paid for until now."""
    server, width = arena.servers[number], arena.world[0].slots
    arena.world[0].server_seconds += now - server.born
    server.state = OFF
    forget(arena.slots, number, width)


@jit
def forget(slots: Any, number: int, width: int) -> None:
    """A server that goes loses its cache."""
    for place in range(number * width, number * width + width):
        slots[place].prefix, slots[place].used = -1, -1.0


@inlined
def drained(arena: Any, number: int) -> bool:
    """Whether a server that drains has finished what it had."""
    server = arena.servers[number]
    return bool(server.state == DRAINING and server.load == 0)
