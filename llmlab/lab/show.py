"""What a notebook shows while something runs, and what a file describes beside what runs.

Bars are tqdm's (a widget in JupyterLab, text in papermill and terminals) and end with a plain line, because a widget
leaves nothing readable in an executed notebook.
"""

from __future__ import annotations

import contextlib
import html
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..records.schema import Plan
from ..serve import Server, Spec

if TYPE_CHECKING:
    from ..load import Progress
    from .lab import Lab


def _bar(total: int, unit: str, *, quiet: bool) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        unit=unit,
        file=sys.stdout,
        leave=False,
        dynamic_ncols=True,
        disable=quiet,
        mininterval=0.2,
    )


@contextlib.contextmanager
def progress_bar(plans: Sequence[Plan], *, quiet: bool) -> Iterator[Callable[[Progress], None]]:
    """A bar over all requests of a measurement; the function it yields takes the client's progress events."""
    from .session import describe

    before = [sum(plan.requests for plan in plans[:n]) for n in range(len(plans))]
    bar = _bar(sum(plan.requests for plan in plans), "request", quiet=quiet)

    def event(progress: Progress) -> None:
        bar.set_description(describe(plans[progress.run]), refresh=False)
        bar.set_postfix_str(f"{progress.tokens_per_second:.0f} tokens/s", refresh=False)
        if progress.phase == "run":
            bar.n = before[progress.run] + progress.done
        bar.refresh()

    try:
        yield event
    finally:
        bar.close()


@contextlib.contextmanager
def sweep_bar(total: int) -> Iterator[Callable[[str], None]]:
    """A bar over the points of a sweep; the function it yields takes what is measured next."""
    bar = _bar(total, "point", quiet=False)

    def say(text: str) -> None:
        bar.set_description(text, refresh=False)
        bar.update(1)

    try:
        yield say
    finally:
        bar.close()


@contextlib.contextmanager
def check_bar(total: int, *, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar over the checks; the function it yields takes the grader's events."""
    bar = _bar(total, "check", quiet=quiet)

    def event(one: dict[str, Any]) -> None:
        if one["event"] == "start":
            bar.set_description(one["check"], refresh=True)
        elif one["event"] == "say":
            bar.set_postfix_str(one["text"], refresh=True)
        else:
            bar.set_postfix_str("", refresh=False)
            bar.update(1)

    try:
        yield event
    finally:
        bar.close()


class Shown:
    """Rows of three columns with a few lines below them."""

    def __init__(
        self,
        rows: list[tuple[str, str, str]],
        notes: list[str],
        heads: tuple[str, str, str] = ("", "the file says", "what runs"),
    ) -> None:
        self.rows, self.notes, self.heads = rows, notes, heads

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
        return f"<table>{head}{body}</table>" + "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)


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
    """The lab's server.toml beside the running server."""
    live = lab.running.server if lab.running is not None and lab.running.server.running else None
    notes: list[str] = []
    try:
        spec = live.spec if live is not None else Spec.read(lab.files / "server.toml")
        server = live if live is not None else Server(spec, port=0)
        command = server.command
    except LabError as error:
        return Shown([], error.lines())
    flags = spec.flags
    slots = flags.get("parallel")
    context = flags.get("ctx-size")
    rows = [("model", spec.model, f"{server.model.bytes / 2**20:.0f} MiB, {_count(server.model.parameters)}")]
    props = live.props() if live is not None else None
    real = "(nothing runs)"
    rows.append(
        (
            "context",
            _or(context, "the model's own"),
            real if not props else f"{_ctx(props) * props['total_slots']:,} tokens in all",
        )
    )
    rows.append(("slots", _or(slots, "automatic"), real if not props else str(props["total_slots"])))
    rows.append(("context per slot", "–", real if not props else f"{_ctx(props):,} tokens"))
    rows.append(("threads", _or(flags.get("threads"), "automatic"), "–"))
    rows.append(("device", spec.device, real if live is None else server.device.used))
    if spec.limits:
        memory = "" if spec.limits.memory is None else f"{spec.limits.memory / 2**20:.0f} MiB"
        cpus = "" if spec.limits.cpus is None else f"{spec.limits.cpus:g} CPUs"
        rows.append(
            (
                "limits",
                " · ".join(filter(None, (cpus, memory))),
                real if live is None else live.info().limiter or "none",
            )
        )
    rows.append(
        (
            "address",
            "a free port" if "port" not in flags else f"port {flags['port']}",
            real if live is None else server.url,
        )
    )
    if server.device.note:
        notes.append(server.device.note)
    notes.append(command)
    return Shown([(a, b, c) for a, b, c in rows], notes)


def _ctx(props: dict[str, Any]) -> int:
    return int(props["default_generation_settings"]["n_ctx"])


def _or(value: Any, otherwise: str) -> str:
    return otherwise if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _count(parameters: int | None) -> str:
    return "" if parameters is None else f"{parameters / 1e6:.3g} M parameters"
