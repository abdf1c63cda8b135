"""When requests leave: closed loops, open schedules and conversations, drawn from a seed before the run starts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from ..errors import LabError
from ..records.schema import Plan


def closed(concurrency: int, *, requests: int | None = None, warmup: int | None = None, **more: Any) -> Plan:
    """A closed loop: `concurrency` streams, each sending its next request when the last is answered.

    The default is eight requests a stream (at least 16) after one warm-up request a stream. `more` are other
    fields of `Plan` (prompt_tokens, max_tokens, each_prompt, each_reply, seed, api, cache_prompt, timeout).

    :raises LabError: for a concurrency or a number of requests below 1.
    """
    if concurrency < 1:
        raise LabError(f"A closed loop needs at least 1 stream, not {concurrency}.", fix="closed(1)")
    count = max(16, 8 * concurrency) if requests is None else requests
    warm = concurrency if warmup is None else warmup
    return _checked(Plan(pattern="closed", concurrency=concurrency, requests=count, warmup=warm, **more))


def constant(rate: float, *, requests: int = 64, warmup: int = 2, **more: Any) -> Plan:
    """An open loop: one request every 1/rate seconds, whatever the server does."""
    return _checked(Plan(pattern="constant", rate=rate, requests=requests, warmup=warmup, **more))


def poisson(rate: float, *, requests: int = 64, warmup: int = 2, **more: Any) -> Plan:
    """An open loop: arrivals at random, `rate` a second on average, as independent users would send them."""
    return _checked(Plan(pattern="poisson", rate=rate, requests=requests, warmup=warmup, **more))


def trace(
    offsets: Sequence[float],
    *,
    each_prompt: Sequence[int] | None = None,
    each_reply: Sequence[int] | None = None,
    warmup: int = 2,
    **more: Any,
) -> Plan:
    """An open loop: arrivals at the given seconds from the start (sorted here, with the lengths that belong to them).

    :param each_prompt: tokens of each request's prompt, in the order of `offsets`; None: `prompt_tokens` for all.
    :param each_reply: tokens of each request's reply, likewise; None: `max_tokens` for all. Warm-up requests keep
        `prompt_tokens` and `max_tokens`.
    :raises LabError: when there are not as many lengths as arrivals, or one is below 1.
    """
    for name, each in (("each_prompt", each_prompt), ("each_reply", each_reply)):
        if each is not None:
            _as_many(name, len(each), len(offsets), "arrivals")
    order = sorted(range(len(offsets)), key=lambda place: offsets[place])
    return _checked(
        Plan(
            pattern="trace",
            offsets=[float(offsets[place]) for place in order],
            each_prompt=None if each_prompt is None else [int(each_prompt[place]) for place in order],
            each_reply=None if each_reply is None else [int(each_reply[place]) for place in order],
            requests=len(order),
            warmup=warmup,
            **more,
        )
    )


def sessions(
    users: int,
    *,
    sessions: int | None = None,
    turns: int = 4,
    think: float = 1.0,
    system_tokens: int = 128,
    warmup: int = 1,
    **more: Any,
) -> Plan:
    """Conversations: `users` at once, each with one session after another, of `turns` requests each.

    Every request carries all that was said before in its session: the system prompt, which all sessions share, the
    turns so far and what the server answered to them; so a server that kept its cache has little to compute. A turn
    that fails is left out of what follows it.

    :param sessions: how many in all; by default two a user.
    :param think: mean seconds between a reply and the user's next turn (drawn: exponential). Users begin spread over
        the first `think` seconds.
    :param system_tokens: of the shared system prompt, about; 0: none.
    :param warmup: requests before the sessions, with prompts of their own.
    :raises LabError: for fewer than one user, session or turn, or a negative time or length.
    """
    many = 2 * users if sessions is None else sessions
    if users < 1 or many < 1 or turns < 1:
        raise LabError(
            f"{users} users with {many} sessions of {turns} turns ask nothing.", fix="sessions(4, turns=4)"
        )
    if think < 0 or system_tokens < 0:
        raise LabError(f"think={think} and system_tokens={system_tokens} must not be negative.")
    given: dict[str, Any] = {"api": "chat", "cache_prompt": True} | more
    return _checked(
        Plan(
            pattern="sessions",
            concurrency=min(users, many),
            requests=many * turns,
            warmup=warmup,
            turns=turns,
            think=think,
            system_tokens=system_tokens,
            **given,
        )
    )


def schedule(plan: Plan) -> list[float] | None:
    """When each request of an open loop is due, in seconds from the start; None for a closed loop and for sessions.

    Constant: i / rate. Poisson: running sums of exponential gaps with mean 1/rate, drawn from
    `random.Random(seed)` (Python promises the same `random()` for the same seed everywhere, and `expovariate`
    is one log of it). The gaps are not rescaled to hit the rate: a sample of n gaps misses it by about
    1/sqrt(n), and that is what Poisson means.
    """
    if plan.pattern in ("closed", "sessions"):
        return None
    if plan.pattern == "trace":
        return list(plan.offsets or [])
    rate = plan.rate or 0.0
    if plan.pattern == "constant":
        return [i / rate for i in range(plan.requests)]
    draw = random.Random(plan.seed)
    return list(accumulate(draw.expovariate(rate) for _ in range(plan.requests)))


def describe(plan: Plan) -> str:
    """One short line for a progress bar or a legend: `closed, 4 streams`, `poisson, 2/s`."""
    if plan.pattern == "closed":
        return f"closed, {plan.concurrency} stream{'s' if plan.concurrency != 1 else ''}"
    if plan.pattern == "sessions":
        users = plan.concurrency or 1
        return f"sessions of {plan.turns} turns, {users} user{'s' if users != 1 else ''}"
    if plan.pattern == "trace":
        return f"trace of {plan.requests} requests"
    return f"{plan.pattern}, {plan.rate:g}/s"


def _checked(plan: Plan) -> Plan:
    if plan.requests < 1:
        raise LabError(f"A load of {plan.requests} requests measures nothing.", fix="requests=16")
    if plan.pattern in ("constant", "poisson") and not (plan.rate and plan.rate > 0):
        raise LabError(f"The rate must be above 0 requests per second, not {plan.rate}.", fix="rate=2.0")
    if plan.pattern == "trace" and plan.offsets and plan.offsets[0] < 0:
        raise LabError(f"A trace starts at 0 s or later, not {plan.offsets[0]} s.")
    if plan.prompt_tokens < 1 or plan.max_tokens < 1:
        raise LabError("prompt_tokens and max_tokens must be at least 1.")
    for name, each in (("each_prompt", plan.each_prompt), ("each_reply", plan.each_reply)):
        if each is None:
            continue
        if plan.pattern == "sessions":
            raise LabError(f"The turns of a session are all of one length: {name} belongs to other loads.")
        _as_many(name, len(each), plan.requests, "requests")
        if min(each) < 1:
            raise LabError(
                f"A length must be at least 1 token, not {min(each)}.",
                where=f"{name}[{each.index(min(each))}]",
            )
    if plan.api not in ("completion", "chat"):
        raise LabError(f"Unknown api {plan.api!r}.", fix='api="completion" or api="chat"')
    if plan.pattern == "sessions" and plan.api != "chat":
        raise LabError("A session is a chat: its requests carry messages.", fix='api="chat"')
    return plan


def _as_many(name: str, lengths: int, requests: int, what: str) -> None:
    if lengths != requests:
        raise LabError(
            f"{name} has {lengths} lengths for {requests} {what}.",
            fix=f"one length for each of the {what}",
        )
