"""The simulator's model once more, written to be read: each slot counts down its own tokens, and every step looks at everything."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

MASK = 2**64 - 1


@dataclass(eq=False)
class Request:
    number: int
    arrival: float
    prompt: int
    output: int
    prefix: int = -1
    prefix_tokens: int = 0
    region: int = 0
    attempts: int = 0
    status: str = "pending"
    server: int = -1
    started: float = math.nan
    first: float = math.nan  # when prefill ends, at the server
    left: float = 0.0  # tokens to come after the first
    context: float = 0.0  # tokens that the next of its own attends to
    queued: float = 0.0
    ttft: float = math.nan
    e2e: float = math.nan


@dataclass
class Slot:
    request: Request | None = None
    prefix: int = -1
    prefix_tokens: int = 0
    used: float = -1.0


@dataclass
class Server:
    number: int
    region: int
    slots: list[Slot]
    state: str
    prefilled: float = 0.0
    down: int = 0
    born: float = 0.0
    ready: float = math.inf
    queue: list[Request] = field(default_factory=list)

    @property
    def busy(self):
        return [slot for slot in self.slots if slot.request]

    @property
    def load(self):
        return len(self.busy) + len(self.queue)

    @property
    def accepts(self):
        return self.state == "up" and not self.down

    @property
    def open(self):
        return self.accepts and len(self.busy) < len(self.slots)


def mixed(value):
    z = (value + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


class World:
    def __init__(self, trace, speeds, fleet, seed=0):
        self.speeds, self.fleet, self.seed, self.now = speeds, fleet, seed, 0.0
        self.requests = [
            Request(number, float(arrival), int(prompt), int(output))
            for number, (arrival, prompt, output) in enumerate(
                zip(trace.arrival_s, trace.prompt_tokens, trace.output_tokens, strict=True)
            )
        ]
        for name in ("prefix", "prefix_tokens", "region"):
            column = getattr(trace, name)
            for request, value in zip(self.requests, [] if column is None else column, strict=False):
                setattr(request, name, int(value))
        self.servers: list[Server] = []
        for region, (places, start) in enumerate(zip(fleet.places, fleet.regions, strict=True)):
            for place in range(places):
                slots = [Slot() for _ in speeds.step]
                self.servers.append(
                    Server(len(self.servers), region, slots, "up" if place < start else "off")
                )
        self.waiting: list[Request] = []
        self.turns = [min(s.number for s in self.servers if s.region == r) for r in range(len(fleet.places))]
        self.below: list[Any] = [None] * len(fleet.places)
        self.paid = self.slot_seconds = 0.0
        self.counts = dict.fromkeys(("full", "late", "displaced", "retried"), 0)
        self.ended = 0.0
        self.events = sorted(
            [(f.from_s, 1, f) for f in fleet.failures]
            + [(f.until_s, 0, f) for f in fleet.failures if f.until_s < math.inf],
            key=lambda event: event[:2],
        )

    # --- one server
    def pass_time(self, until):
        for server in self.servers:
            going = until - max(self.now, server.prefilled)
            busy = server.busy
            if going > 0 and busy:
                low, high = 0.0, max(slot.request.left for slot in busy) + 1
                for _ in range(200):  # how many steps take so long: bisection
                    steps = (low + high) / 2
                    low, high = (steps, high) if self.seconds(busy, steps) < going else (low, steps)
                for slot in busy:
                    slot.request.left -= low
                    slot.request.context += low
        self.now = until

    def seconds(self, busy, steps):
        """A step takes longer for each token of context in the slots that generate, which grow by one token each."""
        context = sum(slot.request.context for slot in busy if slot.request.output > 1)
        grown = len(busy) * steps * (steps - 1) / 2
        return steps * self.speeds.step[len(busy) - 1] + self.speeds.attend * (context * steps + grown)

    def next_end(self, server):
        busy = server.busy
        ends = []
        for slot in busy:
            if slot.request.output <= 1:
                ends.append(slot.request.first)
            else:
                since = max(self.now, server.prefilled)
                ends.append(since + self.seconds(busy, max(slot.request.left, 0)))
        return min(ends, default=math.inf)

    def admit(self, server, request):
        free = [slot for slot in server.slots if not slot.request]
        same = [slot for slot in free if request.prefix >= 0 and slot.prefix == request.prefix]
        slot = same[0] if same else min(free, key=lambda slot: slot.used)
        cached = min(slot.prefix_tokens, request.prefix_tokens, request.prompt) if same else 0
        fresh = request.prompt - cached
        work = self.speeds.overhead + fresh / self.speeds.prefill + self.speeds.square * fresh**2
        server.prefilled = max(server.prefilled, self.now) + work
        slot.request, slot.prefix, slot.prefix_tokens = request, request.prefix, request.prefix_tokens
        request.server, request.started, request.first = server.number, self.now, server.prefilled
        request.left, request.context = max(request.output - 1, 0), request.prompt + 1

    def leave(self, slot):
        request = slot.request
        self.slot_seconds += self.now - request.started
        slot.request, slot.used = None, self.now
        return request

    def end(self, server):
        singles = [s for s in server.busy if s.request.output <= 1 and s.request.first <= self.now]
        ended = singles[:1] or [s for s in server.busy if s.request.output > 1 and s.request.left <= 1e-7]
        for slot in ended:
            request = self.leave(slot)
            trip = self.trip(request, server)
            request.status, self.ended = "served", self.now
            request.ttft = request.first - request.arrival + trip
            request.e2e = self.now - request.arrival + trip
        while server.queue and len(server.busy) < len(server.slots):
            self.admit(server, server.queue.pop(0))
        if self.fleet.queue == "door":
            while server.open:
                able = [r for r in self.waiting if server.region in self.allowed(r)]
                if not able:
                    break
                self.waiting.remove(able[0])
                self.admit(server, able[0])
        if server.state == "draining" and not server.load:
            self.turn_off(server)

    def turn_off(self, server):
        self.paid += self.now - server.born
        server.state = "off"
        for slot in server.slots:
            slot.prefix, slot.used = -1, -1.0

    # --- the door
    def trip(self, request, server):
        return self.fleet.round_trip[request.region][server.region] if self.fleet.round_trip else 0.0

    def allowed(self, request):
        regions = self.fleet.residency.get(request.region, range(len(self.fleet.places)))
        trips = self.fleet.round_trip[request.region] if self.fleet.round_trip else [0.0] * 99
        return sorted(regions, key=lambda region: trips[region])

    def pick(self, request):
        at_server = self.fleet.queue == "server"
        for full in (False, True) if at_server else (False,):
            for region in self.allowed(request):
                there = [s for s in self.servers if s.region == region]
                if any(s.accepts if full else s.open for s in there):
                    some = [s for s in there if (s.accepts if at_server else s.open)]
                    return self.choose(request, region, there, some)
        return None

    def draw(self, request, attempt, below):
        return mixed((mixed(self.seed ^ mixed(request.number)) + attempt) & MASK) % below

    def choose(self, request, region, there, some):
        policy = self.fleet.policy
        least = min(some, key=lambda s: s.load)
        if policy == "round_robin":
            after = [s for s in some if s.number >= self.turns[region]]
            picked = (after or some)[0]
            self.turns[region] = picked.number + 1
            return picked
        if policy == "random":
            return some[self.draw(request, request.attempts, len(some))]
        if policy == "power_of_two" and len(some) > 1:
            first = some[self.draw(request, 2 * request.attempts, len(some))]
            rest = [s for s in some if s is not first]
            other = rest[self.draw(request, 2 * request.attempts + 1, len(rest))]
            return other if other.load < first.load else first
        if policy == "prefix_hash" and request.prefix >= 0:
            mean = (sum(s.load for s in there) + 1) / sum(s.accepts for s in there)
            within = [s for s in some if s.load < math.ceil(self.fleet.bound * mean)]
            if within:
                return max(within, key=lambda s: mixed(mixed(request.prefix) ^ s.number))
        return least

    def assign(self, server, request):
        if len(server.busy) < len(server.slots):
            self.admit(server, request)
        else:
            server.queue.append(request)

    def gone(self, request, status, why=None):
        request.status, self.ended = status, self.now
        request.server = -1 if status == "shed" else request.server
        if why:
            self.counts[why] += 1

    def arrive(self, request):
        server = self.pick(request)
        regions = self.allowed(request)
        dead = all(s.down for s in self.servers if s.region in regions)
        limit = math.inf if self.fleet.max_queue is None else self.fleet.max_queue
        if server:
            self.assign(server, request)
        elif dead and len(regions) < len(self.fleet.places):
            self.gone(request, "shed", "displaced")
        elif len(self.waiting) >= limit:
            self.gone(request, "shed", "full")
        else:
            request.queued = self.now
            self.waiting.append(request)

    def reopen(self):
        for request in list(self.waiting):
            server = self.pick(request)
            if server:
                self.waiting.remove(request)
                self.assign(server, request)

    # --- failures and the autoscaler
    def touched(self, failure):
        return [s for s in self.servers if failure.server == s.number or failure.region == s.region]

    def fail(self, failure):
        lost = []
        for server in self.touched(failure):
            server.down += 1
            if server.down == 1:
                lost += [self.leave(slot) for slot in server.busy] + server.queue
                server.queue, server.prefilled = [], self.now
                for slot in server.slots:
                    slot.prefix, slot.used = -1, -1.0
                if server.state == "draining":
                    self.turn_off(server)
        for request in lost:
            if request.attempts < self.fleet.retries:
                request.attempts += 1
                self.counts["retried"] += 1
                self.arrive(request)
            else:
                self.gone(request, "failed")

    def recover(self, failure):
        for server in self.touched(failure):
            server.down -= 1
        self.reopen()

    def make_ready(self):
        for server in self.servers:
            if server.state == "starting" and server.ready <= self.now:
                server.state, server.prefilled = "up", self.now
        self.reopen()

    def scale(self, region):
        scaler = self.fleet.autoscaler
        there = [s for s in self.servers if s.region == region]
        running = [s for s in there if not s.down and s.state in ("starting", "up")]
        requests = sum(s.load for s in there) + sum(self.allowed(r)[0] == region for r in self.waiting)
        wanted = min(max(math.ceil(requests / scaler.target), scaler.min), scaler.max)
        if wanted >= len(running):
            self.below[region] = None
            off = [s for s in there if s.state == "off" and not s.down]
            for server in off[: wanted - len(running)]:
                server.state, server.born, server.ready = "starting", self.now, self.now + scaler.startup
            return
        since, most = self.below[region] or (self.now, wanted)
        self.below[region] = since, max(most, wanted)
        if self.now - since < scaler.down_delay:
            return
        keep = max(most, wanted)
        self.below[region] = None
        running.sort(key=lambda s: (s.state == "up", s.load, -s.number))
        for server in running[: len(running) - keep]:
            server.state = "draining" if server.load else server.state
            if not server.load:
                self.turn_off(server)

    # --- all of it
    def run(self):
        to_come, ticks = list(self.requests), 1
        scaler, late = self.fleet.autoscaler, self.fleet.max_wait
        while to_come or any(r.status == "pending" for r in self.requests):
            ends = [self.next_end(server) for server in self.servers]
            ready = [s.ready for s in self.servers if s.state == "starting"]
            times = [
                min(ends),
                self.events[0][0] if self.events else math.inf,
                min(ready, default=math.inf),
                ticks * scaler.interval if scaler else math.inf,
                min((r.queued + late for r in self.waiting), default=math.inf)
                if late is not None
                else math.inf,
                to_come[0].arrival if to_come else math.inf,
            ]
            soonest = min(times)
            what = times.index(soonest)
            if soonest == math.inf:
                break
            self.pass_time(soonest)
            if what == 0:
                self.end(self.servers[ends.index(soonest)])
            elif what == 1:
                _, down, failure = self.events.pop(0)
                (self.fail if down else self.recover)(failure)
            elif what == 2:
                self.make_ready()
            elif what == 3:
                ticks += 1
                for region in range(len(self.fleet.places)):
                    self.scale(region)
                others = times[:3] + times[4:]
                if min(others) == math.inf and not any(s.state == "starting" for s in self.servers):
                    break  # nobody will ever serve those who wait
            elif what == 4:
                request = self.waiting.pop(0)
                self.gone(request, "shed", "late")
            else:
                request = to_come.pop(0)
                self.ended = self.now
                self.arrive(request)
        for request in self.waiting:
            request.status = "failed"
        self.paid += sum(self.ended - s.born for s in self.servers if s.state != "off")
        return self
