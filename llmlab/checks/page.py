"""A result as a page of HTML: the one check to work on first, everything else folded away."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from ..plain import plain
from .result import SIGNS, Outcome, Result

#: Of the sign alone; the words have the page's own colour, which can be read in the light and in the dark theme.
#: Each of these has a contrast of 3 or more on white and on #111 (WCAG 2.2 asks that of a sign).
COLOURS = {
    "passed": "#0B8A5F",
    "failed": "#D1490C",
    "skipped": "#7A7A7A",
    "inconclusive": "#94720A",
    "error": "#B8549A",
}
#: In which order what is left is told.
_ORDER = ("failed", "error", "inconclusive")


def first_to_mend(result: Result) -> Outcome | None:
    """The check to work on: the first that failed, else the first that could not be judged; None when all passed."""
    for status in _ORDER:
        for outcome in result.outcomes:
            if outcome.status == status:
                return outcome
    return None


def bar(done: int, total: int, width: int = 12) -> str:
    """`3 of 7 ▓▓▓▓▓░░░░░░░`."""
    full = round(width * done / total) if total else 0
    return f"{done} of {total} {'▓' * full}{'░' * (width - full)}"


def linked(text: str, artifacts: Sequence[str]) -> str:
    """Text as HTML, in which the lab's files are links; `server.toml, line 7` and `server.toml:7` lead to the line."""
    names = "|".join(re.escape(html.escape(name)) for name in sorted(artifacts, key=len, reverse=True))
    if not names:
        return plain(text)
    pattern = rf"(?<![\w./-])({names})(?:(?:, line |:)(\d+))?(?![\w-]|\.\w)"
    return re.sub(pattern, _link, plain(text))


def _link(found: re.Match[str]) -> str:
    return f'<a href="{_address(found[1], found[2])}">{found[0]}</a>'


def _address(name: str, line: str | None) -> str:
    # JupyterLab counts lines from 0 here.
    return name + (f"#line={int(line) - 1}" if line and int(line) else "")


def _sign(outcome: Outcome) -> str:
    sign, word = SIGNS[outcome.status]
    return f'<span aria-hidden="true" style="color:{COLOURS[outcome.status]};font-weight:bold">{sign}</span> <b>{word}</b>'


def _head(outcome: Outcome) -> str:
    return (
        f"{_sign(outcome)} <code>{html.escape(outcome.check)}</code> {plain(outcome.title)} "
        f"({outcome.points:g}/{outcome.max_points:g})"
    )


def _evidence(outcome: Outcome, artifacts: Sequence[str]) -> str:
    parts = [linked(outcome.reason, artifacts)] if outcome.reason else []
    if outcome.evidence:
        parts.append(f"<b>expected</b> {linked(outcome.evidence.expected, artifacts)}")
        parts.append(f"<b>observed</b> {linked(outcome.evidence.observed, artifacts)}")
        if outcome.evidence.look:
            parts.append(f"<b>see it yourself</b> <code>{html.escape(outcome.evidence.look)}</code>")
    # What was seen may be several lines, one a thing to mend.
    return "".join(f'<div style="margin-left:1.4em;white-space:pre-line">{part}</div>' for part in parts)


def _files(outcome: Outcome, artifacts: Sequence[str]) -> str:
    """Links to the files to open, when the evidence names none itself."""
    said = [outcome.reason or ""]
    if outcome.evidence:
        said += [outcome.evidence.expected, outcome.evidence.observed]
    if not artifacts or "<a " in linked(" ".join(said), artifacts):
        return ""
    word = "your file" if len(artifacts) == 1 else "your files"
    links = ", ".join(linked(name, artifacts) for name in artifacts)
    return f'<div style="margin-left:1.4em"><b>{word}</b> {links}</div>'


def _folded(title: str, rows: Sequence[str]) -> str:
    if not rows:
        return ""
    items = "".join(f'<li style="list-style:none;margin:.3em 0">{row}</li>' for row in rows)
    return f'<details><summary>{title}</summary><ul style="padding-left:.5em;margin:0">{items}</ul></details>'


def stands_in(result: Result) -> list[str]:
    """What was not the real thing, a line each kind: `emulated: the internet (starts, geography)`."""
    groups: dict[str, list[str]] = {}
    for outcome in result.outcomes:
        if outcome.realism != "real" and outcome.status != "skipped":
            groups.setdefault(f"{outcome.realism}: {outcome.stands_in or 'form only'}", []).append(
                outcome.check
            )
    every = sum(outcome.status != "skipped" for outcome in result.outcomes)
    return [
        kind if len(names) == every and every > 1 else f"{kind} ({', '.join(names)})"
        for kind, names in groups.items()
    ]


def page(
    result: Result,
    *,
    artifacts: Sequence[str] = (),
    hint: str = "",
    green: str = "",
    below: str = "",
) -> str:
    """The result as HTML.

    :param artifacts: the files the learner edits; where one is named, it is a link.
    :param hint: HTML below the check to work on: how to get its hint.
    :param green: HTML that stands on top when everything passed.
    :param below: HTML at the end: how far the course is.
    """
    passed = [outcome for outcome in result.outcomes if outcome.status == "passed"]
    waiting = [outcome for outcome in result.outcomes if outcome.status == "skipped" and outcome.waits]
    lacking = [outcome for outcome in result.outcomes if outcome.status == "skipped" and not outcome.waits]
    first = first_to_mend(result)
    others = [
        outcome
        for outcome in result.outcomes
        if outcome not in (*passed, *waiting, *lacking) and outcome is not first
    ]
    out = [
        f"<b>Lab {plain(result.lab)}: {result.points:g} of {result.max_points:g} points</b> · "
        f"{bar(len(passed), len(result.outcomes))} checks"
    ]
    if first is not None:
        out.append(
            '<div style="border-left:3px solid currentColor;padding:.1em .8em;margin:.6em 0">'
            f"<b>Next:</b> {_head(first)}{_evidence(first, artifacts)}{_files(first, artifacts)}{hint}</div>"
        )
    elif result.passed:
        out.append(green)
    out += [
        f'<div style="margin:.4em 0">{_head(other)}{_evidence(other, artifacts)}</div>' for other in others
    ]
    out += [
        _folded(
            f"– {len(waiting)} more wait for this", [_head(o) + _evidence(o, artifacts) for o in waiting]
        ),
        _folded(f"– {len(lacking)} not run here", [_head(o) + _evidence(o, artifacts) for o in lacking]),
        _folded(
            f"✔ {len(passed)} passed",
            [
                _head(o) + (f"<br><small>{plain(o.evidence.observed)}</small>" if o.evidence else "")
                for o in passed
            ],
        ),
        *(f"<small>{plain(kind)}</small><br>" for kind in stands_in(result)),
        below,
    ]
    return f'<div role="status">{"".join(out)}</div>'
