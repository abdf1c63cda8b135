"""What was created, as tables of a notebook: read back, permitted, priced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ....show.shown import Shown
from .. import prices
from ..inventory import Inventory, Listener
from ..routing import Decision, Request, by_priority, deciding, decision, in_words

Row = tuple[str, str, str]


def listed(have: Inventory) -> list[Row]:
    """Load balancers with their listeners, target groups, groups of instances, instances with their tags."""
    rows: list[Row] = []
    names = {group.arn: group.name for group in have.target_groups}
    for balancer in have.balancers:
        idle = balancer.attributes.get("idle_timeout.timeout_seconds")
        rows.append(("load balancer", balancer.name, f"{len(balancer.zones)} zones, idle timeout {idle} s"))
        for listener in balancer.listeners:
            default = Decision(listener.arn, None, deciding(listener.actions))
            rows.append(
                ("  listener", f"{listener.protocol} {listener.port}", _does(default, listener, names))
            )
            for rule in by_priority(listener):
                asks = " and ".join(map(in_words, rule["Conditions"]))
                rows.append((f"    rule {rule['Priority']}", asks, _does(decision(rule), listener, names)))
    for group in have.target_groups:
        asks = f"{group.health['path']} must say {group.health['matcher']}"
        delay = group.attributes.get("deregistration_delay.timeout_seconds")
        rows.append(
            (
                "target group",
                f"{group.name}:{group.port}",
                f"{len(group.targets)} targets, {asks}, drains {delay} s",
            )
        )
    for fleet in have.fleets:
        size = f"{len(fleet.instances)} of {fleet.least} to {fleet.most} instances"
        rows.append(("Auto Scaling group", fleet.name, f"{size}, {len(fleet.zones)} zones"))
    for machine in have.instances:
        own = [tag for tag in machine.get("Tags") or [] if not tag["Key"].startswith("aws:")]
        tags = ", ".join(f"{tag['Key']}={tag['Value']}" for tag in own)
        rows.append(("instance", machine["InstanceId"], tags or "no tag"))
    return rows or [("nothing", "", "")]


def _does(taken: Decision, listener: Listener, names: Mapping[str, str]) -> str:
    """What a rule does, with the share of each target group where there are several."""
    shares = [f"{names.get(arn, arn)} {share:.0%}" for arn, share in taken.shares.items()]
    if len(shares) > 1:
        return "→ " + ", ".join(shares)
    if shares:
        return "→ " + shares[0].removesuffix(" 100%")
    return taken.words(listener, Request("/", host="…"), names).removesuffix(f" by {taken.by}")


def permitted(documents: Sequence[dict[str, Any]]) -> list[Row]:
    """The statements of policies: effect, actions, resources."""
    rows = []
    for document in documents:
        statements = document["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            actions, on = statement.get("Action", statement.get("NotAction")), statement.get("Resource", "*")
            rows.append((str(statement["Effect"]), _words(actions), _words(on)))
    return rows


def billed(have: Inventory) -> Shown:
    """What an hour of it would cost, by the dated table."""
    items = prices.hourly(have)
    rows = [
        (str(bill.count), bill.what, "not in the table" if bill.dollars is None else f"{bill.dollars:.3f}")
        for bill in items
    ]
    total = sum(bill.dollars or 0 for bill in items)
    dated = f"List prices, us-east-1, written down on {prices.catalogue()['as_of']} from memory (data/aws.toml): look them up."
    # No dollar sign: a notebook would read two of them as mathematics.
    note = f"{total:.2f} US dollars an hour, {total * 730:.0f} a month. {dated}"
    return Shown(rows, [note], ("", "what", "US dollars an hour"))


def _words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
