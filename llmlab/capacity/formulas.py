"""Exact mean waits of three queues, as yardsticks for the simulator.

All have Poisson arrivals, `servers` equal servers and one queue, first in, first out. A server of these formulas is a slot.
"""

from __future__ import annotations

import math

from ..errors import LabError


def erlang_c(rate: float, service_s: float, servers: int) -> float:
    """The probability that a request has to wait in M/M/c (0 to 1): Erlang's C formula.

    From Erlang's B by its recursion in c, which does not overflow (Cooper, Introduction to Queueing Theory, 2nd edition 1981, ch. 3).

    :param rate: arrivals per second.
    :param service_s: mean seconds of service, exponentially distributed.
    :raises LabError: for a queue that grows without end.
    """
    load = _load(rate, service_s, servers)
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_wait(rate: float, service_s: float, servers: int) -> float:
    """The mean wait in M/M/c, in seconds, of all requests: C / (c / service - rate) (the same book, ch. 3).

    :raises LabError: as `erlang_c` does.
    """
    return erlang_c(rate, service_s, servers) / (servers / service_s - rate)


def mdc_wait(rate: float, service_s: float, servers: int) -> float:
    """The mean wait in M/D/c, in seconds, of all requests; every service takes `service_s`.

    Requests start in their order, and each takes as long, so a request waits for the one c before it (Crommelin 1932): every
    c-th sees a queue with one server, E_c/D/1. There Spitzer's identity (1956) gives the mean as the sum over n ≥ 1 of
    E[(n D - X_n)⁺] / n, where X_n is the time of n·c arrivals, a gamma variable whose tail is that of a Poisson one.

    :raises LabError: as `erlang_c` does.
    """
    load = _load(rate, service_s, servers)
    total, part, n = 0.0, math.inf, 0
    while load and part > 1e-12 * total:
        n += 1
        arrivals = n * servers
        equal = math.exp(arrivals * math.log(n * load) - n * load - math.lgamma(arrivals + 1))
        more = equal * _tail(n * load, arrivals)
        part = (n * service_s - arrivals / rate) * more + arrivals / rate * equal
        total += part / n
    return total


def mg1_wait(rate: float, service_s: float, scv: float) -> float:
    """The mean wait in M/G/1, in seconds (Pollaczek 1930, Khinchine 1932): rate · E[S²] / (2 (1 - utilisation)).

    :param scv: the squared coefficient of variation of the service times: 0 constant, 1 exponential.
    :raises LabError: as `erlang_c` does.
    """
    utilisation = _load(rate, service_s, 1)
    return rate * service_s**2 * (1 + scv) / (2 * (1 - utilisation))


def _tail(mean: float, least: int) -> float:
    """P(N ≥ least) / P(N = least) of a Poisson variable with a mean below `least`."""
    part, total, count = 1.0, 1.0, least
    while part > 1e-16 * total:
        count += 1
        part *= mean / count
        total += part
    return total


def _load(rate: float, service_s: float, servers: int) -> float:
    """The offered load in servers (erlang)."""
    load = rate * service_s
    if servers < 1 or load < 0 or load >= servers:
        raise LabError(
            f"{rate:g} requests a second of {service_s:g} s each keep {load:g} servers busy, and there are {servers}: the queue has no mean.",
            fix="more servers, or a lower rate",
        )
    return load
