"""`regions.yaml`: the numbers of a routing, once; they are filled in where the zone and the proxies' file name them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from msgspec import Meta, Struct, defstruct

from ...errors import LabError
from ...system import typed, yaml_nodes
from .places import regions

NAME = "regions.yaml"


Whole = Annotated[int, Meta(ge=1, le=86_400)]
Promised = Annotated[float, Meta(ge=0.1, le=3600)]


class _Health(Struct, forbid_unknown_fields=True):
    """Seconds are whole where PowerDNS takes no other."""

    interval: Annotated[int, Meta(ge=1, le=300)]  # seconds between two health checks
    #: Seconds, at most the interval; a check that takes longer has failed.
    timeout: Annotated[int, Meta(ge=1, le=60)]
    fall: Annotated[int, Meta(ge=1, le=20)]  # failed checks until the proxies take a server for dead
    rise: Annotated[int, Meta(ge=1, le=100)]  # good ones until they trust it again


class _Promise(Struct, forbid_unknown_fields=True):
    region: Promised  # seconds until the last user is served again when a whole region is lost
    servers: Promised  # the same when a region's servers are lost and its entry stands


class _Numbers(Struct, forbid_unknown_fields=True, kw_only=True):
    policy: Literal["pickclosest", "all", "random", "hashed"]  # to which of the healthy regions a name leads
    ttl: Whole  # seconds for which a resolver may keep the answer
    health: _Health  # how the name server and the proxies notice what is dead
    promise: _Promise  # what users are promised
    schema: Literal[1] = 1  # the version of this format


@functools.cache
def _regions_yaml() -> Any:
    """What stands in the file; each region there is has a weight."""
    names = [(name, Annotated[int, Meta(ge=1, le=100)]) for name in regions()]
    #: Region → its part of what a `pickwrandom` in the zone leads there; asked for as `${WEIGHTS_US}`.
    weights = defstruct("_Weights", names, forbid_unknown_fields=True)
    return defstruct(
        "_RegionsYaml", [("weights", weights)], bases=(_Numbers,), forbid_unknown_fields=True, kw_only=True
    )


@dataclass(frozen=True, slots=True)
class Numbers:
    """The file's values. Times are seconds."""

    policy: str
    ttl: int
    interval: int
    timeout: int
    fall: int
    rise: int
    promise_region: float
    promise_servers: float
    names: Mapping[str, str]  # under what a file may ask for each: HEALTH_INTERVAL for health.interval

    def predicted_region(self, patience: float) -> dict[str, float]:
        """The worst case when a region is gone, part by part: the name server notices, answers run out, users let go.

        PowerDNS takes one failed check for a failure. Interval and threshold as in Amazon's "How Amazon Route 53 determines
        whether a health check is healthy"; the sum, with TTL and client, is ours.
        """
        return {"check": float(self.interval + self.timeout), "TTL": float(self.ttl), "client": patience}

    def predicted_servers(self, patience: float) -> dict[str, float]:
        """The same when only its servers are gone, or late: the proxies notice, and there is no TTL."""
        return {"checks": float(self.fall * (self.interval + self.timeout)), "client": patience}


def read(file: Path) -> Numbers:
    """The file.

    :raises LabError: with its line: no YAML, an unknown region or key, a TTL of zero, a number that cannot be.
    """
    if not file.is_file():
        raise LabError(f"There is no {file.name}.", fix="llmlab reset")
    try:
        text = file.read_text(encoding="utf-8")
        top = yaml.compose(text, Loader=yaml.SafeLoader)
        if top is None or yaml_nodes.nothing(top):
            raise LabError(f"{file.name} is empty.", where=file.name, fix="llmlab reset")
        yaml_nodes.plain(file.name, top)
        data = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise LabError(f"{file.name} is no text in UTF-8: {error.reason}.", where=file.name) from error
    except yaml.YAMLError as error:
        key = getattr(error, "context", None) == "while scanning a simple key"  # then that is where it stands
        mark = getattr(error, "context_mark" if key else "problem_mark", None)
        where = f"{file.name}:{mark.line + 1}" if mark else file.name
        raise LabError(
            f"{file.name} is no YAML: {getattr(error, 'problem', None) or error}.", where=where
        ) from error
    try:
        made = typed.convert(data, _regions_yaml())
    except typed.Trouble as trouble:
        named = ".".join(trouble.at if trouble.kind == "wrong" else trouble.at[:-1]) or file.name
        line = yaml_nodes.line_of(top, trouble.at) or 1
        raise LabError(f"{named}: {_words(trouble)}", where=f"{file.name}:{line}") from None
    health, promise = made.health, made.promise
    if health.timeout > health.interval:
        raise LabError(
            "health.timeout: a check that may take longer than the time between two is asked again before it is over.",
            where=f"{file.name}:{yaml_nodes.line_of(top, ['health', 'timeout'])}",
            fix="a timeout of at most the interval",
        )
    return Numbers(
        policy=made.policy,
        ttl=made.ttl,
        interval=health.interval,
        timeout=health.timeout,
        fall=health.fall,
        rise=health.rise,
        promise_region=promise.region,
        promise_servers=promise.servers,
        names=dict(_flat({key: value for key, value in data.items() if key != "schema"})),
    )


def _flat(data: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    for key, value in data.items():
        name = f"{above}{key}".upper()
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}_")
        else:
            yield name, str(value)


#: As a schema of JSON calls them.
_TYPES = {"int": "integer", "float": "number", "str": "string", "object": "object"}


def _words(trouble: typed.Trouble) -> str:
    key, value = (trouble.at or [""])[-1], trouble.shown
    if trouble.at == ["ttl"] and trouble.value == 0:
        return "with a TTL of zero nobody may keep an answer: every single request waits for the name server first."
    if trouble.kind == "unknown" and trouble.at[0] == "weights":
        return f"there is no region {key}; there are {', '.join(regions())}"
    if trouble.kind == "missing":
        return f"{key!r} is missing"
    if trouble.kind == "unknown":
        return f"nothing is known of {key}"
    if trouble.expected == "enum":
        return f"{value} is not {trouble.wanted}"
    if isinstance(trouble.value, int | float) and not isinstance(trouble.value, bool):
        return f"{value}, and should be {trouble.wanted}"
    return f"{value} is not of type {_TYPES.get(trouble.expected, trouble.expected)!r}"


def fill(text: str, names: Mapping[str, str], file: str) -> str:
    """A text with its `${NAME}` filled in, as HAProxy does it in its own file.

    :raises LabError: with the line of a name that is not known.
    """

    def one(found: re.Match[str]) -> str:
        if found[1] not in names:
            line = text.count("\n", 0, found.start()) + 1
            raise LabError(
                f"Nothing is called ${{{found[1]}}}; there are {', '.join(sorted(names))}.",
                where=f"{file}:{line}",
            )
        return names[found[1]]

    return re.sub(r"\$\{(\w+)\}", one, text)
