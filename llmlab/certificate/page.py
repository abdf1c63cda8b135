"""The page itself: one HTML file for A4, without scripts and without anything from elsewhere; a learner's text is never markup."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from ..capacity import claims, plan
from ..checks.result import SIGNS
from ..course.journal import answer
from ..errors import LabError
from ..figures.words import device_line
from ..records.schema import Record, Table
from ..show.markup import Html, document, join, tag, terms
from ..submissions.text import clean, printable
from ..tiers.fleet import figures
from .evidence import ANSWERS, PLAN, Certified, HeldFile
from .points import points_in

if TYPE_CHECKING:
    from ..figures import Picture

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
MARK, EMPTY = re.compile(r'(?<=<code id="digest">)[0-9a-f]{64}(?=</code>)'), "0" * 64
#: Kind of a record → the heading, and what draws it.
DRAWN: dict[str, tuple[str, Callable[[Table], Picture]]] = {
    "day": ("The day, replayed", figures.day),
    "needed": ("Servers needed", figures.needed),
    "costs": ("What a million tokens cost", figures.costs),
    "errors": ("How far off the simulator was", figures.errors),
}
OWN, GRADER = "the learner's own machine", "an instructor's grader"


def page(of: Certified) -> str:
    """The whole page; the same bytes for the same submission and result."""
    who = printable(of.graded.learner) if of.graded else ""
    title = f"Certificate: {of.info.title}"
    body = tag(
        "main",
        tag(
            "header",
            tag("p", "llmlab · deploying LLM servers", class_="quiet"),
            tag("h1", of.info.title),
            tag("p", tag("bdi", who), class_="name") if who else None,
            tag("p", _standing(of), class_="lead"),
        ),
        _points(of),
        _plan(of),
        *(_figure(of, kind) for kind in DRAWN),
        _claims(of),
        _guesses(of),
        _machine(of),
        _files(of),
        _verify(of),
    )
    text = document(title, _style(), body, policy=POLICY)
    return MARK.sub(digest(text), text)


def digest(text: str) -> str:
    """SHA-256 of a page, with noughts where the page itself says it."""
    return hashlib.sha256(MARK.sub(EMPTY, text).encode("utf-8", "backslashreplace")).hexdigest()


def said_digest(text: str) -> str | None:
    """What a page says its digest is; None where it says nothing, or says it twice."""
    found = MARK.findall(text)
    return found[0] if len(found) == 1 else None


@cache
def _style() -> str:
    return files(__package__).joinpath("certificate.css").read_text(encoding="utf-8")


def _section(title: str, *inside: Html | None, class_: str = "") -> Html:
    return tag("section", tag("h2", title), *inside, class_=class_)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str | Html]]) -> Html:
    head = tag("tr", *(tag("th", name) for name in heads))
    body = (tag("tr", *(tag("td", cell) for cell in row)) for row in rows)
    return tag("table", tag("thead", head), tag("tbody", *body))


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else "–"


def _standing(of: Certified) -> str:
    if of.graded:
        result = of.graded.result
        return f"{of.date}: {result.points:g} of {result.max_points:g} points in the capstone, by {GRADER}"
    rows = points_in(of.progress.record if of.progress and isinstance(of.progress.record, Table) else None)
    mine = next((row for row in rows if row["lab"] == of.info.name), {})
    return f"{of.date}: {_number(mine.get('points'))} of {of.info.points:g} points in the capstone, by {OWN}"


def _points(of: Certified) -> Html:
    parts: list[Html] = []
    if of.graded:
        rows = [
            (
                f"{SIGNS[outcome.status][0]} {outcome.title}",
                f"{outcome.points:g} of {outcome.max_points:g}",
                outcome.realism + (f": {outcome.stands_in}" if outcome.stands_in else ""),
            )
            for outcome in of.graded.result.outcomes
        ]
        parts += [
            tag("h3", f"The capstone, by {GRADER}, {of.graded.created[:10]}"),
            tag(
                "p",
                "As the checks gave them: lateness and what an instructor adds by hand stand in the gradebook.",
            ),
            _table(("what holds", "points", "how it was seen"), rows),
        ]
    kept = points_in(of.progress.record if of.progress and isinstance(of.progress.record, Table) else None)
    if kept:
        rows = [
            (str(row["lab"])[:2] + " " + str(row["title"]), f"{_number(row['points'])} of {_number(row['of'])}",
             str(row["checked"])[:10] if row["checked"] else "not checked")
            for row in kept
        ]  # fmt: skip
        parts += [
            tag("h3", f"Each lab, by {OWN}"),
            tag("p", "The most that a complete check gave there. Nobody else was present."),
            _table(("lab", "points", "checked"), rows),
        ]
    else:
        parts.append(tag("p", "Points of the other labs were not handed in."))
    return _section("Points, and where they come from", *parts)


def _plan(of: Certified) -> Html:
    try:
        mine = plan.read(of.folder / PLAN)
    except LabError as error:
        return _section("The plan", tag("p", f"{PLAN} is no plan: {error.what}"))
    door = mine.door
    lines = [
        *plan.in_short(mine),
        f"the door: {door.policy}, at most {door.max_queue:,} wait, for {door.max_wait_s:g} s; a lost server is noticed within "
        f"{door.notices_s:g} s, and {mine.promise.recovery_s:g} s are promised",
        *(
            f"{label}: ${tier.price_per_million:.2f} for a million tokens, on {tier.machine}"
            for label, tier in mine.tier.items()
        ),
    ]
    return _section("The plan", tag("ul", *(tag("li", line) for line in lines)))


def _figure(of: Certified, kind: str) -> Html:
    title, draw = DRAWN[kind]
    held = of.newest(kind)
    if held is None or not isinstance(held.record, Table):
        return _section(title, tag("p", f"No record of it ({kind}) was handed in.", class_="quiet"))
    try:
        picture = draw(held.record)
    except Exception as error:  # a table of a stranger's: whatever it makes a figure do
        why = error.what if isinstance(error, LabError) else type(error).__name__
        return _section(title, tag("p", f"{held.name} cannot be drawn: {why}"))
    source = base64.b64encode(picture.png).decode("ascii")
    alt = html.escape(clean(picture.alt))
    image = Html(f'<img src="data:image/png;base64,{source}" alt="{alt}">')
    return _section(
        title,
        tag(
            "figure",
            image,
            tag("figcaption", picture.caption),
            tag("figcaption", _origin(held), class_="quiet"),
        ),
    )


def _origin(held: HeldFile) -> str:
    record = held.record
    if record is None:
        return f"{held.name}, SHA-256 {held.sha256[:12]}…"
    seed = record.seed if isinstance(record, Table) else next((run.plan.seed for run in record.runs), 0)
    return f"{held.name}, {record.created[:10]}, seed {seed}, SHA-256 {held.sha256[:12]}…"


def _claims(of: Certified) -> Html:
    try:
        stated = claims.read(of.folder / ANSWERS)
    except LabError as error:
        return _section("Claims", tag("p", f"{ANSWERS} has no claims: {error.what}"))
    return _section("Claims, each with its record", *(_claim(of, claim) for claim in stated))


def _claim(of: Certified, claim: claims.StatedClaim) -> Html:
    held = of.files.get(f"records/{claim.record}")
    try:
        found = claims.figure(claim, of.folder / "records")
        seen = f"{'✔' if found.agrees(claim.value) else '✘'} the record says {found}"
    except LabError as error:
        seen = f"✘ {error.what}"
    return tag(
        "article",
        tag("h3", claim.topic or "without a topic"),
        tag("p", claim.says) if claim.says.strip() else tag("p", "Nothing is said of it.", class_="quiet"),
        tag("p", tag("strong", f"{claim.value:g} {claim.unit}"), f" · {seen}"),
        tag("p", _origin(held) if held else "no record of its own", class_="quiet"),
    )


def _guesses(of: Certified) -> Html:
    lines = [
        answer(entry.what, entry.predicted, entry.observed)
        for entry in of.journal
        if entry.predicted is not None and entry.observed is not None
    ]
    inside = (
        tag("ul", *(tag("li", line) for line in lines))
        if lines
        else tag("p", "No guess was written down.", class_="quiet")
    )
    return _section("Guesses, and what was measured then", inside)


def _machine(of: Certified) -> Html:
    records = [held.record for held in of.files.values() if held.record is not None]
    servers = [server for record in records if isinstance(record, Record) for server in record.servers]
    rows = [
        ("Machine", "; ".join(dict.fromkeys(record.machine.line for record in records))),
        (
            "Engine",
            "; ".join(
                dict.fromkeys(
                    f"llama-server {server.engine_version}, {device_line(server.device)}"
                    for server in servers
                )
            ),
        ),
        (
            "Model",
            "; ".join(
                dict.fromkeys(f"{server.model}, SHA-256 {server.model_sha256[:12]}…" for server in servers)
            ),
        ),
        ("Course", "; ".join(dict.fromkeys(f"llmlab {record.machine.llmlab}" for record in records))),
    ]
    return _section("What it was measured on", terms([row for row in rows if row[1]]))


def _files(of: Certified) -> Html:
    rows = [(held.name, tag("code", held.sha256)) for held in of.files.values()]
    absent = [tag("p", f"{name} {why}.") for name, why in of.missing.items()]
    return _section("Files and records", _table(("file", "SHA-256"), rows), *absent, class_="files")


def _verify(of: Certified) -> Html:
    more = " --graded GRADES/LEARNER/result.json" if of.graded else ""
    return tag(
        "footer",
        tag("h2", "How to verify this page"),
        tag(
            "p",
            "It can be made again from what was handed in, byte for byte, with the course in the same version:",
        ),
        tag("pre", f"llmlab certificate --from SUBMISSION{more} --verify THIS-PAGE.html"),
        tag(
            "p",
            "SHA-256 of this page, with noughts in the place of these digits: ",
            join([Html(f'<code id="digest">{EMPTY}</code>')]),
        ),
    )
