"""Requests and prefix-cache hits by replica, one group of bars for each routing policy."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from ....errors import LabError
from ....figures import words
from ....figures.picture import Picture
from ....figures.style import GUESS, INK, QUIET, dress, finish, mark_guess, new_figure, series
from ....records.schema import Table

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx")
MOST = 5  # replicas whose bars can still be told apart


def shares(table: Table, *, guess: float | None = None) -> Picture:
    """Left: each replica's share of the requests; right: the share of prompt tokens that it found in its cache.

    Dashed on the left: what each would get if all got the same. On the right a black line over each group is the policy's
    hit rate over all replicas: cached / (cached + computed) prompt tokens, by llama-server's counters. With `guess`, a hit rate
    (0 to 1) that the reader named beforehand, marked on the right.

    :raises LabError: when the table holds no requests, or more than five replicas.
    """
    rows = table.dicts()
    if not rows or not any(_int(row["requests"]) for row in rows):
        raise LabError(
            "Nothing to draw: no replica answered a request.",
            where=f"table of {table.created}",
            fix="stack.shares()",
        )
    policies = list(dict.fromkeys(str(row["policy"]) for row in rows))
    replicas = list(dict.fromkeys(str(row["replica"]) for row in rows))
    if len(replicas) > MOST:
        raise LabError(f"{len(replicas)} replicas are too many for one figure.", fix=f"scale to {MOST}")
    data: dict[str, Any] = {"policies": [_numbers(table, name, replicas) for name in policies]}

    figure = new_figure(7.6, 4.3)
    left, right = figure.subplots(1, 2)
    dress(left, quantity="Share of the requests (%)")
    dress(right, quantity="Prompt tokens from the cache (%)")
    _bars(left, [policy["share"] for policy in data["policies"]], replicas)
    _bars(right, [policy["hits"] for policy in data["policies"]], replicas)
    left.axhline(100 / len(replicas), color=QUIET, linestyle=(0, (4, 3)), linewidth=1.2, zorder=4)
    top_share = 100 * max(max(policy["share"]) for policy in data["policies"])
    left.set_ylim(0, min(100, max(50, top_share * 1.15)))
    right.set_ylim(0, 112)
    right.set_yticks(range(0, 101, 20))
    for place, policy in enumerate(data["policies"]):
        level = 100 * policy["hit_rate"]
        right.plot([place - 0.42, place + 0.42], [level, level], color=INK, linewidth=1.8, zorder=5)
        right.text(
            place,
            max(level, 100 * max(policy["hits"])) + 2,
            f"{level:.0f} %",
            ha="center",
            va="bottom",
            fontsize=9.5,
            color=INK,
            zorder=6,
        )
    if isinstance(guess, int | float) and 0 <= guess <= 1:
        mark_guess(right, 100.0 * guess, along="y", name=False)
        right.text(  # beside the panel: inside it the bars are in the way
            1.01,
            100.0 * guess,
            "your\nguess",
            transform=right.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=GUESS.ink,
        )
    for axes in (left, right):
        axes.set_xticks(range(len(policies)), [_wrapped(name) for name in policies])
        axes.tick_params(axis="x", length=0)
    figure.legend(
        *left.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(replicas),
        frameon=False,
        fontsize=9.5,
        labelcolor=INK,
    )
    return finish(figure, alt=_alt(data["policies"]), caption=_caption(table, data["policies"]), data=data)


def _int(value: object) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _numbers(table: Table, policy: str, replicas: list[str]) -> dict[str, Any]:
    own = {str(row["replica"]): row for row in table.dicts() if row["policy"] == policy}
    requests = [_int(own[name]["requests"]) if name in own else 0 for name in replicas]
    cached = [_int(own[name]["cached_tokens"]) if name in own else 0 for name in replicas]
    prompt = [_int(own[name]["prompt_tokens"]) if name in own else 0 for name in replicas]
    total = sum(requests) or 1
    return {
        "policy": policy,
        "replicas": replicas,
        "requests": requests,
        "share": [n / total for n in requests],
        "hits": [c / (c + p) if c + p else 0.0 for c, p in zip(cached, prompt, strict=True)],
        "hit_rate": sum(cached) / ((sum(cached) + sum(prompt)) or 1),
    }


def _bars(axes: Axes, groups: list[list[float]], replicas: list[str]) -> None:
    width = 0.8 / len(replicas)
    for number, name in enumerate(replicas):
        places = [group - 0.4 + width * (number + 0.5) for group in range(len(groups))]
        axes.bar(
            places,
            [100 * values[number] for values in groups],
            width=width * 0.92,
            facecolor=series(number).colour,
            edgecolor="white",
            hatch=HATCHES[number],
            linewidth=0,
            label=name,
            zorder=3,
        )
    axes.set_xlim(-0.55, len(groups) - 0.45)


def _wrapped(name: str) -> str:
    """A policy's name on two lines where it has several words."""
    first, _, rest = name.partition(" ")
    return f"{first}\n{rest}" if rest else first


def _alt(policies: list[dict[str, Any]]) -> str:
    said = []
    for policy in policies:
        counts = words.sentence_list([f"{n}" for n in policy["requests"]])
        said.append(
            f"{policy['policy']}: {counts} requests by replica, {100 * policy['hit_rate']:.0f} % of prompt tokens from the cache"
        )
    return "Request share and prefix-cache hits by replica. " + ". ".join(said) + "."


def _caption(table: Table, policies: list[dict[str, Any]]) -> str:
    counts = [sum(policy["requests"]) for policy in policies]
    each = f"{counts[0]}" if len(set(counts)) == 1 else " / ".join(map(str, counts))
    out = [
        f"{each} requests for each policy, one run. Dashed: an equal share. Black line: hit rate over all replicas."
    ]
    if table.note:
        out.append(table.note.rstrip(".") + ".")
    out.append(f"Counted by llama-server. {table.machine.line} ({table.machine.profile}).")
    return " ".join(out)
