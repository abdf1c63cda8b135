"""The words under and behind a figure: numbers with units, engine, machine, and reasons to doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..records.schema import Device, Plan, Record, Run, ServerInfo


def number(value: float) -> str:
    """Three significant digits, thousands marked: 1,371, 61.3, 0.97."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def seconds(value: float) -> str:
    """A time of `value` seconds with its unit: 12 ms, 0.97 s."""
    if not np.isfinite(value):
        return "–"
    return f"{number(value)} s" if abs(value) >= 1 else f"{value * 1000:.3g} ms"


def count(n: int, one: str, many: str | None = None) -> str:
    """`n` with its noun: 1 stream, 8 streams."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"


def sentence_list(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]


_ENGINES = {
    "path": "llama-server",
    "PATH": "llama-server",
    "built": "native llama-server",
    "wheel": "the wheel's engine",
}


def engine_line(server: ServerInfo) -> str:
    """Engine, model and device of one server, for a caption."""
    engine = f"{server.model} on {_ENGINES.get(server.engine, server.engine)} {server.engine_version}"
    return f"{engine}, {device_line(server.device)}"


def device_line(device: Device) -> str:
    """What a server computed on; a device asked for and not found is said, and what made a found one slow."""
    used = device.name or device.used.upper() if device.used != "cpu" else "CPU"
    if device.asked != device.used:
        return f"{used} ({device.asked} was asked for: {device.note or 'no such device found'})"
    return f"{used} ({device.note})" if device.note else used


def setting(record: Record, servers: Sequence[int]) -> str:
    """The caption's last sentences: engine, machine, profile, realism, note."""
    engines = list(dict.fromkeys(engine_line(record.servers[i]) for i in servers))
    out = [f"{'; '.join(engines)}.", f"{record.machine.line} ({record.machine.profile})."]
    if record.realism != "real":
        out.append(f"Realism: {record.realism}.")
    if record.note:
        out.append(record.note.rstrip(".") + ".")
    return " ".join(out)


def doubts(runs: Sequence[Run], name: Callable[[Run], str], *, crossed: bool = True) -> str:
    """Sentences that name noisy and client-limited runs and failed requests; "" when there are none.

    `name`: what one plan is called, such as "concurrency 8"; repeats are told apart here.
    `crossed`: client-limited points are crossed out in the figure.
    """
    out = []
    noisy = [r for r in runs if r.noise.noisy]
    if noisy:
        out.append(f"Hollow: noisy, {why_noisy(noisy)} ({_named(noisy, runs, name)}).")
    limited = [r for r in runs if r.noise.client_limited]
    if limited:
        how = "Crossed out: the client" if crossed else "The client"
        out.append(f"{how}, not the server, may have been the limit ({_named(limited, runs, name)}).")
    failed, total = sum(not s.ok for r in runs for s in r.samples), sum(len(r.samples) for r in runs)
    if failed:
        out.append(f"{failed:,} of {total:,} requests failed and have no latency.")
    return " ".join(out)


def why_noisy(runs: Sequence[Run]) -> str:
    """Why the worst of these noisy runs is in doubt."""
    worst = max(runs, key=lambda r: r.noise.foreign_cpu or 0.0)
    if worst.noise.reason:
        return worst.noise.reason
    if worst.noise.foreign_cpu is None:
        return "what others took of the CPU is unknown"
    return f"others took up to {100 * worst.noise.foreign_cpu:.0f} % of the CPU"


def _named(some: Sequence[Run], runs: Sequence[Run], name: Callable[[Run], str]) -> str:
    """Names of `some` of the `runs`; the repeats are given only where not all of them are meant."""
    if len(some) == len(runs):
        return "every run" if len(runs) > 1 else name(runs[0])
    out = []
    for label in dict.fromkeys(name(r) for r in some):
        meant, all_of_it = [r for r in some if name(r) == label], [r for r in runs if name(r) == label]
        which = (
            ""
            if len(meant) == len(all_of_it)
            else f" repeat {sentence_list([str(r.repeat + 1) for r in meant])}"
        )
        out.append(label + which)
    return "; ".join(out)


def span(values: Sequence[int]) -> str:
    """The range of `values` as words: 32, or 8–96."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"


def spread_line(runs: Sequence[Run], groups: Sequence[Sequence[Run]], *, tails: bool = True) -> str:
    """How many requests and repeats stand behind each point, their size, and what the bars mean."""
    repeats = [len(g) for g in groups]
    n = [len(r.samples) for r in runs]
    out = f"Each point: {span(n)} request{'s' if max(n) > 1 else ''}"
    out += (
        f" × {span(repeats)} repeats (median; bars: lowest to highest)"
        if max(repeats) > 1
        else ", measured once"
    )
    out += f"; {lengths([r.plan for r in runs])}."
    if tails and min(n) < 20:
        out += " p95 is drawn from 20 requests on."
    return out


def lengths(plans: list[Plan]) -> str:
    """How long prompts and replies were asked to be: `32 prompt and up to 16–64 new tokens`."""
    prompt = [tokens for plan in plans for tokens in plan.each_prompt or [plan.prompt_tokens]]
    new = [tokens for plan in plans for tokens in plan.each_reply or [plan.max_tokens]]
    return f"{span(prompt)} prompt and up to {span(new)} new tokens"
