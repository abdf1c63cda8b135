"""What a million output tokens cost on each plan, against the traffic: always on, scaled to zero, reserved.

Prices are `data/serverless.toml`'s, with their dates. Requests come as a Poisson process; one takes `seconds` of a slot, and an instance
has `slots`. What is billed while a plan scales to zero follows from that in closed form (`billed`); `simulated` counts the same by hand.
"""

from __future__ import annotations

import heapq
import itertools
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import LabError
from ...load import arrivals
from ...system.paths import course_dir

HOUR = 3600.0
FULL = 0.7  # of its slots, how many an instance that stays has busy at most, so that requests do not queue
COLUMNS = {
    "requests_per_hour": "requests/h",
    "plan": "name",
    "dollars": "US dollars for a million output tokens",
    "instances": "billed, on average",
    "cold": "share of requests that wait for a cold start",
    "stays": "whether an instance is always there",
    "priced": "the date of the price",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance, as measured: tokens/s with all slots busy, slots, cores, GiB, and seconds from nothing to the first token."""

    tokens_per_second: float
    slots: int
    vcpu: float
    gib: float
    cold_start: float

    def seconds(self, tokens: float) -> float:
        """How long one request of so many output tokens has a slot, all slots being busy (alone it would be faster: pessimistic)."""
        return tokens * self.slots / self.tokens_per_second


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """What an instance costs: dollars a second, and a request, dollars. `window`: idle seconds before an instance is let go."""

    name: str
    second: float
    stays: bool
    request: float = 0.0
    bills: str = "instance"  # or "request"
    window: float = 0.0
    priced: str = ""


def catalogue() -> dict[str, Any]:
    """The prices, as they are in the file."""
    found: dict[str, Any] = tomllib.loads(
        (course_dir() / "data" / "serverless.toml").read_text(encoding="utf-8")
    )
    return found


def plans(server: Instance) -> list[Pricing]:
    """Every plan of the file, for instances of that size.

    :raises LabError: when no machine of `data/aws.toml` is large enough.
    """
    table = catalogue()
    made = []
    for row in table["plan"]:
        priced = str(table["as_of"])
        if row.get("machines"):
            second, priced = _machine(server)
        elif "vcpu_hour" in row:
            second = (server.vcpu * row["vcpu_hour"] + server.gib * row["gib_hour"]) / HOUR
        else:
            second = server.vcpu * row["vcpu_second"] + server.gib * row["gib_second"]
        more = {key: row[key] for key in ("request", "bills", "window") if key in row}
        made.append(Pricing(name=row["name"], second=second, stays=row["stays"], priced=priced, **more))
    return made


def _machine(server: Instance) -> tuple[float, str]:
    table = tomllib.loads((course_dir() / "data" / "aws.toml").read_text(encoding="utf-8"))
    large = [
        float(row["dollars"])
        for row in table["instance"]
        if row["cpus"] >= server.vcpu
        and float(row["memory"].split()[0]) >= server.gib
        and "gpu" not in row
        and not row["name"].split(".")[0].endswith("g")  # ARM: another image
    ]
    if not large:
        raise LabError(
            f"No machine of data/aws.toml has {server.vcpu:g} cores and {server.gib:g} GiB.",
            fix="a smaller Instance, or another line in data/aws.toml",
        )
    return min(large) / HOUR, str(table["as_of"])


@dataclass(frozen=True, slots=True)
class Billed:
    """On average: instances that are billed, and the share of requests that wait for an instance to start."""

    instances: float
    cold: float


def billed(plan: Pricing, server: Instance, tokens: float, rate: float) -> Billed:
    r"""What is billed at `rate` requests a second, of `tokens` output tokens each.

    A plan that stays: as many instances as keep their slots busy to `FULL` at most, ⌈λs / (slots · FULL)⌉ and one at least.

    Scaled to zero. With λ the rate, s the seconds of a request, w the window, c the cold start: how many are at work is that of an M/G/∞
    queue, N ~ Poisson(λs) (L. Takács, Introduction to the Theory of Queues, 1962, ch. 3). The k-th instance is needed while N > m,
    m = (k − 1) · slots, and stays w seconds longer. It is not needed a share P(N ≤ m) of the time; such a time ends at the rate
    r = λ P(N = m) / P(N ≤ m), and is taken to be exponential. So, without cold starts, it is there x = 1 − P(N ≤ m) e^(−rw) of the time,
    and is started q = λ P(N = m) e^(−rw) times a second. For k = 1 both are exact: x = 1 − e^(−λ(s+w)), q = λ e^(−λ(s+w)), since it is
    there exactly while one of the intervals [arrival, arrival + s + w] is. Each start adds c seconds, in which nobody else starts it:
    x' = (x + qc) / (1 + qc), q' = q / (1 + qc). For k = 1 and equal s that is exact again, 1 − 1 / (λc + e^(λ(s+w))).

    Billed by request, an instance counts while it starts or is needed: (P(N > m) + qc) / (1 + qc).
    Of the requests, those are cold that start an instance, and of the first instance those that come while it starts: q'(1 + λc) / λ.

    Against `simulated` (13 s a request, 4 slots): within 2 % while λs is at most an eighth of one instance's slots. Beyond, requests do
    not move together into few instances, as is taken here: with a window of 60 s or more it is up to 6 % too high billed by instance, up
    to 15 % too low billed by request; without any window up to 40 % too low; and several times too few requests are cold.

    :param rate: requests a second, above 0.
    """
    if rate <= 0:
        raise LabError(f"{rate} requests a second cost nothing and bring nothing.", fix="a rate above 0")
    seconds = server.seconds(tokens)
    load = rate * seconds
    if plan.stays:
        return Billed(max(1.0, math.ceil(load / (server.slots * FULL) - 1e-9)), 0.0)
    total = cold = 0.0
    at_most, m = 0.0, -1  # P(N ≤ m)
    for k in range(1, 2 + math.ceil((load + 12 * math.sqrt(load) + 12) / server.slots)):
        while m < (k - 1) * server.slots:
            m += 1
            at_most += _poisson(m, load)
        here = _poisson(m, load)
        stays_away = math.exp(-rate * here / at_most * plan.window) if at_most else 0.0
        starts = rate * here * stays_away
        there = 1 - at_most if plan.bills == "request" else 1 - at_most * stays_away
        longer = 1 + starts * server.cold_start
        total += (max(there, 0.0) + starts * server.cold_start) / longer
        cold += starts / longer * (1 + (rate * server.cold_start if k == 1 else 0.0)) / rate
    return Billed(total, min(cold, 1.0))


def _poisson(n: int, mean: float) -> float:
    """P(N = n)."""
    return math.exp(n * math.log(mean) - mean - math.lgamma(n + 1)) if mean else float(n == 0)


def simulated(
    plan: Pricing, server: Instance, tokens: float, rate: float, *, requests: int = 20_000, seed: int = 0
) -> Billed:
    """The same, counted over a seeded series of arrivals: each request goes to the first instance with a free slot, or starts one.

    A request that finds an instance starting, with a slot free, waits for it. Only for plans that scale to zero.
    """
    due = arrivals.schedule(arrivals.poisson(rate, requests=requests, seed=seed)) or []
    seconds = server.seconds(tokens)
    running: list[_Life] = []
    spent, cold = 0.0, 0
    for now in due:
        for life in running:
            life.let_go(now)
        gone = [life for life in running if not life.ends and now > life.free + plan.window]
        spent += sum(life.spent(plan) for life in gone)
        running = [life for life in running if life not in gone]
        free = [life for life in running if len(life.ends) < server.slots]
        if not free:
            free = [_Life(now, now + server.cold_start)]
            running += free
        begin = max(now, free[0].ready)
        cold += begin > now
        free[0].take(now, begin + seconds)
    spent += sum(life.spent(plan) for life in running)
    return Billed(spent / due[-1], cold / len(due))


class _Life:
    """One instance of the simulation; times in seconds."""

    def __init__(self, began: float, ready: float) -> None:
        self.began, self.ready = began, ready
        self.ends: list[float] = []  # of the requests in its slots
        self.free = ready  # when the last one was over
        self.busy, self._since = (
            0.0,
            began,
        )  # seconds with a request or starting, before the present such time

    def take(self, now: float, end: float) -> None:
        """A request that is over at `end`."""
        if not self.ends:
            self._since = now
        heapq.heappush(self.ends, end)
        self.free = max(self.free, end)

    def let_go(self, now: float) -> None:
        """What is over by now leaves its slot."""
        while self.ends and self.ends[0] <= now:
            end = heapq.heappop(self.ends)
            if not self.ends:
                self.busy += end - self._since

    def spent(self, plan: Pricing) -> float:
        """Seconds billed for its whole life."""
        self.let_go(math.inf)
        return self.busy if plan.bills == "request" else self.free + plan.window - self.began


def dollars(plan: Pricing, server: Instance, tokens: float, rate: float) -> float:
    """US dollars for a million output tokens: (instances · dollars a second + λ · dollars a request) / (λ · tokens) · 10⁶.

    Input tokens are not counted: their time is part of a request's, their number of nobody's bill here.
    """
    second = billed(plan, server, tokens, rate).instances * plan.second + rate * plan.request
    return second / (rate * tokens) * 1e6


def rows(
    server: Instance, tokens: float, per_hour: Sequence[float], some: Sequence[Pricing] | None = None
) -> list[list[Any]]:
    """The rows of a table of `COLUMNS`: every plan at each traffic, requests an hour."""
    made = []
    for plan in plans(server) if some is None else some:
        for hourly in sorted(per_hour):
            rate = hourly / HOUR
            found = billed(plan, server, tokens, rate)
            cost = dollars(plan, server, tokens, rate)
            made.append([hourly, plan.name, cost, found.instances, found.cold, plan.stays, plan.priced])
    return made


def crossing(
    one: Pricing, other: Pricing, server: Instance, tokens: float, *, low: float = 0.1, high: float = 1e6
) -> float | None:
    """The least traffic, requests an hour, at which `other` becomes the cheaper of the two; None: it never does between the ends."""

    def ahead(hourly: float) -> float:
        return dollars(one, server, tokens, hourly / HOUR) - dollars(other, server, tokens, hourly / HOUR)

    steps = [low * (high / low) ** (n / 200) for n in range(201)]
    for left, right in itertools.pairwise(steps):
        if ahead(left) <= 0 < ahead(right):
            for _ in range(60):
                middle = math.sqrt(left * right)
                left, right = (middle, right) if ahead(middle) <= 0 else (left, middle)
            return float(right)
    return None
