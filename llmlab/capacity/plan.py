"""The learner's plan: what is promised, which door, and for each tier how many servers of which size, for how much load and money."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct, field

from ..errors import LabError
from ..system import typed
from .fleet import Autoscaler, Failure, Replicas
from .planned_door import Above, PlannedDoor
from .written_door import written

NAME = "plan.toml"
#: Seconds: how often Kubernetes' autoscaler looks, and how long it waits before it takes servers away.
INTERVAL, DOWN = 15.0, 300.0
HERE = "here"  # the tier that is deployed on the machine at hand

NotNegative = Annotated[float, Meta(ge=0, lt=1e6)]
Count = Annotated[int, Meta(ge=1, le=2000)]


class Promise(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a user is promised. A request that is refused is one for which it was not kept."""

    ttft_s: Above  # to the first token
    e2e_s: Above  # to the last
    share: Annotated[float, Meta(gt=0, le=1)]  # of all requests of a day, for which both hold
    recovery_s: Above  # after the loss of a server no request fails any more, at the latest after


class PlannedScaling(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bounds of an autoscaler, in each region."""

    min: Annotated[int, Meta(ge=0, le=2000)]  # 0: none is there when nobody asks
    max: Count
    target: Above  # requests in flight per server
    startup_s: NotNegative  # from the decision to a server that takes requests


class PlannedTier(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One size of the service."""

    load: Above  # mean work of the day, in servers that are busy all the time
    slots: Annotated[int, Meta(ge=1, le=64)]  # of each server
    replicas: Count | dict[str, Count] | None = None  # servers, or servers of each region
    autoscale: PlannedScaling | None = None
    home: tuple[str, ...] = ()  # regions whose users are served nowhere else
    machine: str  # of data/aws.toml, one a server
    price_per_million: NotNegative  # US dollars for a million output tokens

    @property
    def regions(self) -> tuple[str, ...]:
        """The names of its regions; one without a name where there is only one."""
        return tuple(self.replicas) if isinstance(self.replicas, dict) else ("",)

    @property
    def servers(self) -> tuple[int, ...]:
        """Servers of each region at the beginning."""
        if isinstance(self.replicas, dict):
            return tuple(self.replicas.values())
        least = self.autoscale.min if self.autoscale else 0
        return (self.replicas or least,)


class ServicePlan(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file."""

    promise: Promise
    door: PlannedDoor
    tier: dict[str, PlannedTier] = field(default_factory=dict)
    speeds: str | None = (
        None  # the record of the learner's calibration, a file below records/; none: the newest there is
    )


EXAMPLES = {
    "promise": "[promise]\nttft_s = 2.0",
    "door": '[door]\npolicy = "least_connections"',
    "ttft_s": "ttft_s = 2.0",
    "e2e_s": "e2e_s = 12.0",
    "share": "share = 0.95",
    "recovery_s": "recovery_s = 5.0",
    "policy": 'policy = "least_connections"',
    "max_queue": "max_queue = 8",
    "max_wait_s": "max_wait_s = 1.5",
    "check_s": "check_s = 0.5",
    "load": "load = 1.2       # servers that are busy all the time",
    "slots": "slots = 4",
    "replicas": "replicas = 3",
    "machine": 'machine = "c7i.xlarge"',
    "price_per_million": "price_per_million = 1.25",
    "speeds": 'speeds = "20261130T101500123-load.json"   # what fleet.calibrate() has measured',
}


def read(path: Path) -> ServicePlan:
    """The plan of a file.

    :raises LabError: when it is none: with the line, and what should stand there.
    """
    name = path.name
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except FileNotFoundError:
        raise LabError(
            f"There is no {name}.", where=name, fix="lab.reset() brings the first one back"
        ) from None
    except tomllib.TOMLDecodeError as error:
        what, _, place = str(error).partition(" (at line ")  # which is how tomllib says it
        line = place.partition(",")[0]
        where = f"{name}:{line}" if line.isdecimal() else name
        raise LabError(
            f"{name} is not TOML: {what}.", where=where, fix='text needs quotes, as in "c7i.xlarge"'
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{name} cannot be read: {error}.", where=name) from None
    try:
        plan = typed.convert(data, ServicePlan)
    except typed.Trouble as trouble:
        raise trouble.error(name, _where(name, text, trouble.at), EXAMPLES) from None
    for label, tier in plan.tier.items():
        if problem := _problem(label, tier):
            key, what, fix = problem
            raise LabError(what, where=_where(name, text, ["tier", label, key]), fix=fix)
    if HERE not in plan.tier:
        raise LabError(f"{name} has no tier for this machine.", where=name, fix=f"[tier.{HERE}]")
    return _door(path, plan)


def _door(path: Path, plan: ServicePlan) -> ServicePlan:
    """The plan with what the file of its door says, where it names one."""
    if plan.door.config is None:
        return plan
    try:
        text = path.with_name(plan.door.config).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LabError(
            f"{plan.door.config} cannot be read: {why}.",
            where=plan.door.config,
            fix=f"write it beside {path.name}, or take `config` out of [door]",
        ) from None
    names = {"SLOTS": str(plan.tier[HERE].slots)}
    return msgspec.structs.replace(plan, door=written(plan.door, text, names))


def in_short(plan: ServicePlan) -> list[str]:
    """What it promises, and a line a tier."""
    promise = plan.promise
    lines = [
        f"promised: {promise.share:.0%} of all requests, first token within {promise.ttft_s:g} s, the whole within {promise.e2e_s:g} s"
    ]
    for label, tier in plan.tier.items():
        scale = tier.autoscale
        many = f"{scale.min} to {scale.max} servers" if scale else f"{sum(tier.servers)} servers"
        where = f" in {', '.join(tier.regions)}" if len(tier.regions) > 1 else ""
        lines.append(f"{label}: {many} of {tier.slots} slots{where}, for a load of {tier.load:g}")
    return lines


def _where(name: str, text: str, at: list[str]) -> str:
    line = typed.toml_line(text, at)
    return f"{name}:{line}" if line else name


def _problem(label: str, tier: PlannedTier) -> tuple[str, str, str] | None:
    """What in a tier cannot be: its key, in words, and what mends it."""
    scaling = tier.autoscale
    if tier.replicas is None and scaling is None:
        return "replicas", f"[tier.{label}] has neither replicas nor autoscale.", "replicas = 3"
    if scaling and isinstance(tier.replicas, int):
        return "replicas", f"[tier.{label}] has both replicas and autoscale.", "take one of them out"
    if scaling and scaling.min > scaling.max:
        return (
            "autoscale",
            f"[tier.{label}] scales from {scaling.min} to {scaling.max}.",
            "min is at most max",
        )
    if isinstance(tier.replicas, dict) and not tier.replicas:
        return "replicas", f"[tier.{label}] has no region.", "replicas = { us = 4, eu = 4 }"
    unknown = [name for name in tier.home if name not in tier.regions]
    if unknown:
        return (
            "home",
            f"[tier.{label}] has no region {unknown[0]!r}.",
            f"its regions are {', '.join(tier.regions)}"
            if isinstance(tier.replicas, dict)
            else "replicas = { us = 2, eu = 2 }",
        )
    if label == HERE and (scaling or not isinstance(tier.replicas, int) or tier.replicas > 8):
        return (
            "replicas",
            f"[tier.{HERE}] is deployed on this machine: a number of servers, at most 8.",
            "replicas = 3",
        )
    return None


def slots_used(plan: ServicePlan, tier: PlannedTier) -> int:
    """How many slots of a server are ever busy: the door may give it fewer requests than it has."""
    return min(tier.slots, plan.door.maxconn or tier.slots)


def replicas(
    plan: ServicePlan,
    tier: PlannedTier,
    *,
    round_trip: Mapping[str, Mapping[str, float]],
    failures: tuple[Failure, ...] = (),
    faster: float = 1.0,
) -> Replicas:
    """The fleet that a tier of the plan describes, for the simulator.

    :param round_trip: seconds between regions by their names, `[user][server]`, where there are several.
    :param faster: how many times as fast the day passes; the autoscaler's times pass with it.
    """
    names = tier.regions
    several = len(names) > 1
    scaling = tier.autoscale
    waits = plan.door.maxconn != 0
    return Replicas(
        servers=tier.servers,
        policy=plan.door.policy,
        queue="door" if waits else "server",
        max_queue=plan.door.max_queue if waits else None,
        max_wait=plan.door.max_wait_s if waits else None,
        retries=0,
        autoscaler=Autoscaler(
            min=scaling.min,
            max=scaling.max,
            target=scaling.target,
            startup=scaling.startup_s / faster,
            interval=INTERVAL / faster,
            down_delay=DOWN / faster,
        )
        if scaling
        else None,
        failures=failures,
        round_trip=tuple(tuple(round_trip[user][server] for server in names) for user in names)
        if several
        else (),
        residency={names.index(name): (names.index(name),) for name in tier.home},
    )
