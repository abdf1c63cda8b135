"""What the simulator keeps, as numpy records: small enough for a processor's cache, and the same for numba and for numpy."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from .fleet import Replicas
from .speeds import Speeds

Array = np.ndarray[Any, Any]

PENDING, SERVED, SHED, FAILED = range(4)  # of a request
OFF, STARTING, UP, DRAINING = range(4)  # of a server
FULL, LATE, DISPLACED = range(3)  # why a request was shed
POLICIES = ("round_robin", "random", "least_connections", "power_of_two", "prefix_hash")
ROUND_ROBIN, RANDOM, LEAST_CONNECTIONS, POWER_OF_TWO, PREFIX_HASH = range(5)
NEVER = math.inf

# fmt: off
REQUEST = np.dtype([
    ("arrival", "f8"), ("prompt", "i8"), ("output", "i8"), ("prefix", "i8"), ("prefix_tokens", "i8"), ("region", "i8"),
    ("number", "i8"),  # in the whole trace
    ("queued", "f8"), ("turn", "i8"), ("link", "i8"),  # when it joined the queue it is in, as which at the door; who is behind it
    ("attempts", "i8"), ("status", "i8"), ("server", "i8"), ("started", "f8"), ("ttft", "f8"), ("e2e", "f8"),
])
SLOT = np.dtype([
    ("request", "i8"),  # -1: free
    ("mark", "f8"),  # what the server's virtual clock shows at its last token; never: free, or its first token is the last
    ("single", "f8"),  # when its only token comes; never, where it has more
    ("context", "f8"),  # what it generates at, less half a token and what the virtual clock shows; 0: free, or but one token
    ("used", "f8"),  # when it was last freed; never: taken
    ("prefix", "i8"), ("prefix_tokens", "i8"),  # what is in its cache
])
SERVER = np.dtype([
    ("prefilled", "f8"),  # until when it does prefill
    ("tokens", "f8"), ("at", "f8"),  # the virtual clock, and the second that it was brought to
    ("context", "f8"),  # of its slots
    ("busy", "i8"), ("load", "i8"),  # slots taken; those and its own queue
    ("next_slot", "i8"), ("region", "i8"), ("state", "i8"), ("down", "i8"),  # down: failures that it is in
    ("accepts", "i8"), ("open", "i8"),  # it takes requests; and has a free slot
    ("born", "f8"), ("ready", "f8"),
])
REGION = np.dtype([
    ("first", "i8"), ("last", "i8"),  # its servers
    ("up", "i8"), ("open", "i8"), ("load", "i8"), ("alive", "i8"),  # accepting; with a free slot; requests; not failed
    ("leaves", "i8"), ("turn", "i8"), ("below", "f8"), ("highest", "i8"),  # since when fewer are wanted, and the most of it
])
QUEUE = np.dtype([("head", "i8"), ("tail", "i8"), ("count", "i8")])
EVENT = np.dtype([("time", "f8"), ("down", "i8"), ("first", "i8"), ("last", "i8")])  # a failure begins or ends
WORLD = np.dtype([
    ("prefill", "f8"), ("square", "f8"), ("attend", "f8"), ("overhead", "f8"), ("slots", "i8"), ("users", "i8"), ("leaves", "i8"),
    ("at_server", "i8"), ("policy", "i8"), ("ranked", "i8"), ("bound", "f8"), ("seed", "u8"),
    ("max_queue", "f8"), ("max_wait", "f8"), ("retries", "i8"),
    ("min", "i8"), ("max", "i8"), ("target", "f8"), ("startup", "f8"), ("interval", "f8"), ("down_delay", "f8"),
    ("control", "f8"), ("event", "i8"), ("tick", "f8"), ("ticks", "i8"), ("ready", "f8"),  # the next of each
    ("expiry", "f8"),  # when the one that waits longest has waited too long
    ("waiting", "i8"), ("active", "i8"), ("turn", "i8"),  # at the door; in all; that were ever waiting
    ("end", "f8"), ("server_seconds", "f8"), ("slot_seconds", "f8"), ("cached", "i8"), ("retried", "i8"), ("peak", "i8"),
    ("full", "i8"), ("late", "i8"), ("displaced", "i8"), ("served", "i8"), ("failed", "i8"), ("prompt", "i8"), ("output", "i8"),
])
# fmt: on


class Arena(NamedTuple):
    """All of the state; `queues` are the door's (one a user region), one of what was lost, and each server's own."""

    world: Array  # one record
    requests: Array
    servers: Array
    slots: Array  # those of server s from s · slots
    regions: Array
    queues: Array
    events: Array
    order: Array  # [user region]: the server regions that may serve it, the nearest first, then -1
    trip: Array  # [user region, server region]: round trip in seconds
    step: Array
    tree: Array  # when each server's next request ends, and the least of each pair above: a tournament
    ranks: Array  # [region]: another, of the servers that may be given a request, by how many they have


def built(speeds: Speeds, fleet: Replicas, seed: int) -> Arena:
    """The state before the first request."""
    places, width, users = fleet.places, speeds.slots, fleet.users
    count, ends = sum(places), np.cumsum(places)
    leaves = _leaves(count)
    world = np.zeros(1, WORLD)
    scaler = fleet.autoscaler
    for name, value in {
        "prefill": speeds.prefill,
        "square": speeds.square,
        "attend": speeds.attend,
        "overhead": speeds.overhead,
        "slots": width,
        "users": users,
        "leaves": leaves,
        "at_server": fleet.queue == "server",
        "policy": POLICIES.index(fleet.policy),
        "ranked": fleet.policy in ("least_connections", "prefix_hash"),
        "bound": fleet.bound,
        "seed": seed % 2**64,
        "max_queue": NEVER if fleet.max_queue is None else fleet.max_queue,
        "max_wait": NEVER if fleet.max_wait is None else fleet.max_wait,
        "retries": fleet.retries,
        "tick": scaler.interval if scaler else NEVER,
        "ticks": 1,
        "ready": NEVER,
        "expiry": NEVER,
        **({name: getattr(scaler, name) for name in scaler.__struct_fields__} if scaler else {}),
    }.items():
        world[name] = value
    servers = np.zeros(count, SERVER)
    regions = np.zeros(len(places), REGION)
    regions["first"], regions["last"] = ends - places, ends
    regions["alive"], regions["below"] = places, NEVER
    for number, (first, start) in enumerate(zip(ends - places, fleet.regions, strict=True)):
        servers["region"][first : ends[number]] = number
        servers["state"][first : first + start] = UP
        regions["up"][number] = regions["open"][number] = start
    servers["accepts"] = servers["open"] = servers["state"] == UP
    slots = np.zeros(count * width, SLOT)
    slots["request"], slots["prefix"], slots["used"] = -1, -1, -1.0
    slots["mark"] = slots["single"] = NEVER
    queues = np.zeros(users + 1 + count, QUEUE)
    queues["head"] = queues["tail"] = -1
    events = _events(fleet, regions)
    world["control"] = min(events["time"][0], world["tick"][0])
    order, trip = _roads(fleet)
    tree, ranks = np.full(2 * leaves, NEVER), _ranks(servers, regions)
    step, none = np.array(speeds.step, float), np.zeros(0, REQUEST)
    return Arena(world, none, servers, slots, regions, queues, events, order, trip, step, tree, ranks)


def _leaves(count: int) -> int:
    """The least power of two that is not less."""
    return 1 << max(0, int(count) - 1).bit_length()


def _ranks(servers: Array, regions: Array) -> Array:
    """The tournaments of the regions, before the first request."""
    regions["leaves"] = [_leaves(last - first) for first, last in regions[["first", "last"]].tolist()]
    ranks = np.full((len(regions), 2 * int(regions["leaves"].max())), NEVER)
    for region, row in zip(regions, ranks, strict=True):
        places = np.arange(region["first"], region["last"])
        row[region["leaves"] :][: len(places)] = np.where(servers["open"][places], places, NEVER)
        for node in range(int(region["leaves"]) - 1, 0, -1):
            row[node] = min(row[2 * node], row[2 * node + 1])
    return ranks


def _events(fleet: Replicas, regions: Array) -> Array:
    """Failures, the soonest first and what ends before what begins; the last is never."""
    rows = [(NEVER, 0, 0, 0)]
    for each in fleet.failures:
        if each.server is None:
            first, last = (int(regions[each.region][end]) for end in ("first", "last"))
        else:
            first, last = each.server, each.server + 1
        rows.append((each.from_s, 1, first, last))
        if each.until_s < NEVER:
            rows.append((each.until_s, 0, first, last))
    return np.array(sorted(rows), EVENT)


def _roads(fleet: Replicas) -> tuple[Array, Array]:
    users, count = fleet.users, len(fleet.places)
    trip = (
        np.array(fleet.round_trip, float).reshape(-1, count) if fleet.round_trip else np.zeros((users, count))
    )
    order = np.full((users, count + 1), -1)
    for user in range(users):
        allowed = sorted(fleet.residency.get(user, range(count)), key=lambda region: trip[user, region])
        order[user, : len(allowed)] = allowed
    return order, trip
