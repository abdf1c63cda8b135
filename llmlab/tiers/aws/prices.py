"""What an hour of it would cost on AWS, from `data/aws.toml` (list prices with their date, never looked up by us)."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ...system.paths import course_dir
from .inventory import Inventory


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a bill: so many, dollars an hour for all of them (None: the table does not know it)."""

    what: str
    count: int
    dollars: float | None


def catalogue() -> dict[str, Any]:
    """The file, as it is."""
    found: dict[str, Any] = tomllib.loads((course_dir() / "data" / "aws.toml").read_text(encoding="utf-8"))
    return found


def hourly(have: Inventory) -> list[Item]:
    """The parts of what was created that are paid by the hour."""
    table = catalogue()
    machines = {machine["name"]: float(machine["dollars"]) for machine in table["instance"]}
    rates = table["hourly"]
    items = []
    for kind, count in sorted(Counter(instance["InstanceType"] for instance in have.instances).items()):
        items.append(Item(kind, count, machines[kind] * count if kind in machines else None))
    disks = sum(
        int((mapping.get("Ebs") or {}).get("VolumeSize") or 0) * len(fleet.instances)
        for fleet in have.fleets
        for mapping in fleet.template.get("BlockDeviceMappings") or []
    )
    if disks:
        items.append(Item("GB of gp3", disks, disks * rates["disk_gb"]))
    if have.balancers:
        items.append(Item("load balancer", len(have.balancers), len(have.balancers) * rates["load_balancer"]))
    addresses = len(have.instances) + sum(
        len(balancer.zones) for balancer in have.balancers if not balancer.internal
    )
    if addresses:
        items.append(Item("public address", addresses, addresses * rates["public_address"]))
    return items
