"""What a file describes beside what runs, and what this machine can do: tables a notebook shows."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..serve import Server, Spec

if TYPE_CHECKING:
    from .lab import Lab


class Shown:
    """Rows of three columns with a few lines below them."""

    def __init__(
        self,
        rows: list[tuple[str, str, str]],
        notes: list[str],
        heads: tuple[str, str, str] = ("", "the file says", "what runs"),
        *,
        drawing: str = "",
    ) -> None:
        self.rows, self.notes, self.heads, self.drawing = rows, notes, heads, drawing

    def __repr__(self) -> str:
        wide = max(len(row[0]) for row in self.rows) if self.rows else 0
        middle = max((len(row[1]) for row in self.rows), default=0)
        lines = [f"{a:<{wide}}  {b:<{middle}}  {c}" for a, b, c in self.rows]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        body = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row)
            + "</tr>"
            for row in self.rows
        )
        head = "<tr>" + "".join(f'<th style="text-align:left">{name}</th>' for name in self.heads) + "</tr>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table>{head}{body}</table>{self.drawing}{notes}"


class Quotas:
    """What can hold a process to a quota here. `cpus`: the quotas a sweep can use (None: no quota)."""

    def __init__(self) -> None:
        from ..machine import cpus_allowed
        from ..serve.limits import available

        self.limiters = available()
        self.cpus: list[float | None] = []
        if "fractional-cpus" in self.limiters:
            self.cpus.append(0.5)
        if "whole-cpus" in self.limiters:
            self.cpus.append(1.0)
        if cpus_allowed() > 1 or not self.cpus:
            self.cpus.append(None)

    def __repr__(self) -> str:
        lines = [
            f"{what.replace('-', ' ')}: {self.limiters.get(what, 'nothing on this machine')}"
            for what in ("fractional-cpus", "whole-cpus", "memory")
        ]
        shown = ", ".join("no quota" if one is None else f"{one:g} CPUs" for one in self.cpus)
        return "\n".join([*lines, f"a sweep here measures: {shown}"])


def describe_machine() -> Shown:
    """The doctor's report for a notebook."""
    from .. import doctor

    report = doctor.report()
    rows = [
        (f"{'✔' if one['met'] else '–'} {one['name']}", one["detail"], "" if one["met"] else one["mend"])
        for one in report["needs"]
    ]
    machine = report["machine"]
    note = f"{machine['line']}, {machine['system']}, profile {machine['profile']}"
    return Shown(rows, [note], ("need", "found", "to bring it"))


def describe_lab(lab: Lab) -> Shown:
    """The lab's server.toml beside the running server, with its context drawn as the slots share it."""
    live = lab.running.server if lab.running is not None and lab.running.server.running else None
    try:
        spec = live.spec if live is not None else Spec.read(lab.files / "server.toml")
        server = live if live is not None else Server(spec, port=0)
        notes = [note for note in (server.device.note, server.command) if note]
    except LabError as error:
        return Shown([], error.lines())
    flags, limits = spec.flags, spec.limits
    # What llama-server does with its context: one pool for all slots, or a part for each (facts: --kv-unified).
    shared = flags.get("kv-unified") is True or flags.get("parallel", -1) == -1
    asked = {
        "model": spec.model,
        "context": _or(flags.get("ctx-size"), "the model's own"),
        "slots": _or(flags.get("parallel"), "automatic"),
        "context per slot": "",
        "threads": _or(flags.get("threads"), "automatic"),
        "device": spec.device,
        "limits": " · ".join(
            filter(
                None,
                (
                    "" if limits.cpus is None else f"{limits.cpus:g} CPUs",
                    "" if limits.memory is None else f"{limits.memory / 2**20:.0f} MiB",
                ),
            )
        )
        or "none",
        "address": f"port {flags['port']}" if "port" in flags else "a free port",
    }
    real = dict.fromkeys(asked, "(nothing runs)" if live is None else "")
    real["model"] = f"{server.model.bytes / 2**20:.0f} MiB, {_count(server.model.parameters)}"
    drawing = ""
    if live is not None:
        props = live.props()
        slots, each = int(props["total_slots"]), _ctx(props)
        pool = each if shared else each * slots
        real |= {
            "context": f"{pool:,} tokens, {'one pool' if shared else 'divided'}",
            "slots": str(slots),
            "context per slot": f"up to {each:,} tokens" if shared else f"{each:,} tokens",
            "device": live.device.used,
            "limits": live.info().limiter or "none",
            "address": live.url,
        }
        told = flags.get("slots", True) and not flags.get("no-slots")
        busy = [bool(slot["is_processing"]) for slot in live.slots()] if told else []
        drawing = _draw(slots, each, pool, shared=shared, busy=busy)
    return Shown([(name, asked[name], real[name]) for name in asked], notes, drawing=drawing)


def _draw(slots: int, each: int, pool: int, *, shared: bool, busy: list[bool]) -> str:
    """The context as a bar, cut into what each slot may use."""
    many = min(slots, 16)
    colours = ["#E69F00" if n < len(busy) and busy[n] else "#56B4E9" for n in range(many)]
    size = "shared" if shared else f"{each:,}"
    boxes = "".join(
        f'<div style="flex:1;padding:.4em .2em;border-right:1px solid #fff;background:{colour};color:#000;'
        f'text-align:center;font-size:.85em">slot {n}<br>{size}{"<br>busy" if colour == "#E69F00" else ""}</div>'
        for n, colour in enumerate(colours)
    )
    more = f"<small>and {slots - many} more slots</small>" if slots > many else ""
    said = f"{pool:,} tokens of context, " + (
        f"shared by {slots} slots" if shared else f"{each:,} for each of {slots} slots"
    )
    return (
        f'<figure style="margin:.5em 0"><div role="img" aria-label="{said}" style="display:flex;max-width:36em">{boxes}</div>'
        f"{more}<figcaption><small>{said}</small></figcaption></figure>"
    )


def _ctx(props: dict[str, Any]) -> int:
    return int(props["default_generation_settings"]["n_ctx"])


def _or(value: Any, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:.3g} M parameters"
