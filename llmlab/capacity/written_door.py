"""A door that the learner wrote, as HAProxy's own file: what it says of what a simulator has to know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from .planned_door import PlannedDoor

NAME = "haproxy.cfg"
#: HAProxy's `balance` → the field's name. Its `random` draws two servers and takes the one with less to do; `random(1)` draws one.
POLICIES = {
    "roundrobin": "round_robin",
    "static-rr": "round_robin",
    "leastconn": "least_connections",
    "random": "power_of_two",
    "random(2)": "power_of_two",
    "random(1)": "random",
}
#: The plan's keys that a file may say instead, and where it says them.
KEYS = {
    "policy": "balance",
    "max_queue": "http-request deny … if { queue(servers) ge 12 }",
    "max_wait_s": "timeout queue",
    "check_s": "inter",
    "fall": "fall",
}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "": 1e-3}


class WrittenDoor(PlannedDoor, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the file says stands in the plan's own keys; of the others the plan has the learner's word alone."""

    maxconn: int | None = 0  # 0: the file gives a server whatever comes
    text: str  # of the file
    word: tuple[str, ...]  # keys that it does not say


def written(door: PlannedDoor, text: str, names: Mapping[str, str]) -> WrittenDoor:
    """The plan's door with what its file says, as far as that is one of a few lines that every such file has.

    :param names: what is filled in for `${NAME}` in the file.
    """
    filled = re.sub(r"\$\{(\w+)\}", lambda found: names.get(found[1], found[0]), text)
    found: dict[str, Any] = dict(_said(filled))
    word = tuple(key for key in KEYS if key not in found)
    own = {name: getattr(door, name) for name in door.__struct_fields__}
    # A server without a maxconn is given whatever comes.
    return WrittenDoor(**{**own, "maxconn": 0, **found, "text": text, "word": word})


def _said(text: str) -> Iterator[tuple[str, Any]]:
    """Keys of a plan and their values; of a key that comes twice, the last."""
    for line in text.splitlines():
        match line.partition("#")[0].replace('"', "").replace("'", "").split():
            case ["balance", policy, *_] if policy in POLICIES:
                yield "policy", POLICIES[policy]
            case ["timeout", "queue", time, *_] if seconds := _seconds(time):
                yield "max_wait_s", seconds
            case ["http-request" | "tcp-request", *_] if bound := re.search(
                r"\bqueue\([^)]*\) (ge|gt) (\d+)", line
            ):
                yield "max_queue", int(bound[2]) + (bound[1] == "gt")
            case ["server" | "default-server" | "server-template", *words]:
                yield from _of_server(words)


def _of_server(words: list[str]) -> Iterator[tuple[str, Any]]:
    for name, value in pairwise(words):
        if name == "maxconn" and value.isdecimal():
            yield "maxconn", int(value)
        elif name == "fall" and value.isdecimal():
            yield "fall", int(value)
        elif name == "inter" and (seconds := _seconds(value)):
            yield "check_s", seconds


def _seconds(text: str) -> float | None:
    """HAProxy's way to write a time; None for none, and for 0, which is for ever."""
    found = re.fullmatch(r"(\d+)(us|ms|s|m|h|d|)", text)
    return int(found[1]) * _UNITS[found[2]] or None if found else None
