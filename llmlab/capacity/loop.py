"""The order of what happens (numba): no event is kept but the next of each kind."""

from __future__ import annotations

from typing import Any

from .control import control, fail
from .door import arrive, expire, pop, refill
from .jit import jit
from .server import first_to_end
from .state import NEVER


@jit
def run(arena: Any, first: int, last: int, drain: bool) -> None:
    """Let `requests[first:last]` arrive, and all happen that is due before the last of them; `drain`: and after it.

    Of what happens in the same instant, ends are first, then failures, servers that are ready and the autoscaler, then those who
    have waited too long, and arrivals last.
    """
    world, requests, tree = arena.world[0], arena.requests, arena.tree
    which = first
    while which < last or (drain and world.active > 0):
        arrival = requests[which].arrival if which < last else NEVER
        ended = tree[1]
        if ended <= arrival and ended <= world.control and ended <= world.expiry and ended < NEVER:
            refill(arena, first_to_end(tree, world.leaves), ended)
        elif world.control <= arrival and world.control <= world.expiry and world.control < NEVER:
            if not control(arena) and which >= last and world.expiry == NEVER:
                give_up(arena)
        elif world.expiry <= arrival and world.expiry < NEVER:
            expire(arena, world.expiry)
        elif which < last:
            world.active += 1
            world.peak = max(world.peak, world.active)
            world.end = arrival
            arrive(arena, which, arrival)
            which += 1
        else:
            give_up(arena)


@jit
def give_up(arena: Any) -> None:
    """Nothing will ever serve those who wait: they have failed, and count as gone with the last that was not."""
    world = arena.world[0]
    for user in range(world.users):
        while arena.queues[user].count:
            world.waiting -= 1
            fail(arena, pop(arena.requests, arena.queues[user]), world.end)
