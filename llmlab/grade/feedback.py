"""The page a learner reads: one HTML file, without scripts, in which nothing that came from a learner is markup."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from ..checks import Outcome
from ..checks.result import SIGNS
from ..course.info import LabInfo
from ..course.journal import answer
from ..show.markup import Html, document, join, tag, terms
from ..submissions.text import printable
from . import words
from .prose import prose
from .schema import Graded
from .scores import CheckScore, Score


def feedback_page(
    graded: Graded, score: Score, info: LabInfo, hints: Mapping[str, Sequence[str]], *, released: bool
) -> str:
    """The whole page, as the text of its file.

    :param hints: the lab's ladder by check; the first step of a failed check's is folded away beside it.
    :param released: after the deadline: what hidden inputs were is shown as well.
    """
    lead, standing = words.headline(graded, score)
    name = printable(graded.learner)
    title = f"{name}: lab {info.number}, {standing or 'not graded yet'}"
    body = tag(
        "main",
        tag(
            "header",
            tag("p", f"Lab {info.number} · {info.title}", class_="lab"),
            tag(
                "h1",
                tag("bdi", name),
                f", {lead}",
                tag("strong", standing) if standing else None,
                ".",
            ),
            *(tag("p", sentence) for sentence in words.why(graded, score)),
        ),
        _next(graded, score, info, hints),
        _checks(graded, score, hints, released),
        _answers(graded, info),
        prose(graded, score, info.questions),
        _way(graded),
        _notebook(graded),
        _list("What was not used", graded.remarks),
        _section("When you handed in", tag("p", late) if (late := words.lateness(score)) else None),
        _section("From your instructor", tag("p", score.comment, class_="said") if score.comment else None),
        _how(graded, score, released),
    )
    return document(title, _style(), body)


@cache
def _style() -> str:
    return files(__package__).joinpath("feedback.css").read_text(encoding="utf-8")


def _section(title: str, *inside: Html | None, class_: str = "") -> Html | None:
    """A heading and what stands below it; nothing when there is nothing."""
    return tag("section", tag("h2", title), *inside, class_=class_) if any(inside) else None


def _list(title: str, items: Sequence[str]) -> Html | None:
    return _section(title, tag("ul", *(tag("li", item) for item in items)) if items else None)


def _next(graded: Graded, score: Score, info: LabInfo, hints: Mapping[str, Sequence[str]]) -> Html | None:
    """One thing to do."""
    if graded.status == "refused":
        say = tag("p", words.handing_in(info))
    elif not score.known:
        say = tag("p", "Nothing, for now: your instructor will see to it.")
    elif first := _first_open(graded, score):
        link = tag("a", first.title, href=f"#check-{first.check}")
        more = ", and a first hint" if hints.get(first.check) else ""
        say = tag("p", "Start with ", link, f". What was expected and what was seen stand there{more}.")
    elif all(check.counted and (check.by_hand or check.status == "passed") for check in score.checks):
        then = f" Next in the course: lab {info.next}." if info.next else ""
        say = tag("p", f"Everything this lab asks for holds.{then}")
    else:
        say = tag("p", "Nothing: all that could be judged holds.")
    return _section("What to do next", say, class_="next")


def _first_open(graded: Graded, score: Score) -> Outcome | None:
    done = {check.check for check in score.checks if check.by_hand and check.points >= check.max_points}
    outcomes = graded.result.outcomes if graded.result else []
    return next(
        (outcome for outcome in outcomes if outcome.status == "failed" and outcome.check not in done), None
    )


def _checks(graded: Graded, score: Score, hints: Mapping[str, Sequence[str]], released: bool) -> Html | None:
    said = {outcome.check: outcome for outcome in graded.result.outcomes} if graded.result else {}
    cards = [
        _card(said.get(check.check), check, hints.get(check.check, ()), released) for check in score.checks
    ]
    return _section("The checks", *cards)


def _card(outcome: Outcome | None, check: CheckScore, hints: Sequence[str], released: bool) -> Html:
    """One check: short when it passed; else expected, observed, how to see it, and a hint."""
    if outcome is None:  # only the instructor spoke of it
        outcome = Outcome(check=check.check, title=check.check, status="skipped", points=0, max_points=0)
        sign, word, note = "✎", "by hand", ""
    else:
        (sign, word), note = SIGNS[outcome.status], words.note(outcome, check)
    evidence, passed = outcome.evidence, outcome.status == "passed"
    rows: list[Html] = []
    if evidence and not passed:
        rows += [tag("dt", "Expected"), tag("dd", evidence.expected)]
        rows += [tag("dt", "Observed"), tag("dd", evidence.observed)]
        if evidence.look:
            rows += [tag("dt", "See it yourself"), tag("dd", tag("pre", evidence.look))]
    if evidence and released and evidence.hidden:
        rows += [tag("dt", "Hidden input"), tag("dd", evidence.hidden)]
    failed = outcome.status == "failed"
    return tag(
        "article",
        tag(
            "p",
            tag("span", f"{sign} {word}", class_="sign"),
            tag("span", words.earned(check), class_="points"),
            class_="verdict",
        ),
        tag("h3", outcome.title, " ", tag("code", check.check, class_="quiet")),
        tag("p", note) if note else None,
        tag("p", evidence.observed, class_="quiet") if evidence and passed else None,
        tag("dl", *rows) if rows else None,
        tag("p", "Your instructor: ", check.comment, class_="said") if check.comment else None,
        tag("details", tag("summary", "A first hint"), tag("p", _inline(hints[0])))
        if failed and hints
        else None,
        class_=f"check {outcome.status}",
        id=f"check-{check.check}",
    )


def _inline(text: str) -> Html:
    """A hint's Markdown, of which only `code` is markup."""
    parts = re.split(r"`([^`]+)`", text)
    return join(tag("code", part) if odd % 2 else part for odd, part in enumerate(parts))


def _answers(graded: Graded, info: LabInfo) -> Html | None:
    in_prose = {question.name for question in info.questions}
    if not graded.answers.keys() - in_prose:
        return None
    rows = [
        (name, "no answer" if value is None else value if isinstance(value, str) else repr(value))
        for name, value in graded.answers.items()
        if name not in in_prose
    ]
    return _section("Your answers, as they were read", terms(rows))


def _way(graded: Graded) -> Html | None:
    """What the learner's own journal says: guesses and what was measured then; the rest folded."""
    answered = [
        entry for entry in graded.journal if entry.predicted is not None and entry.observed is not None
    ]
    guesses = [answer(entry.what, entry.predicted, entry.observed) for entry in answered]
    return _section(
        "The way you took",
        tag("p", "From your own journal; nobody grades it.") if graded.journal else None,
        tag("ul", *(tag("li", guess) for guess in guesses)) if guesses else None,
        tag(
            "details",
            tag("summary", f"All {len(graded.journal)} entries"),
            tag(
                "ul",
                *(
                    tag("li", f"{entry.at[:16].replace('T', ' ')} {entry.words()}")
                    for entry in graded.journal
                ),
            ),
        )
        if graded.journal
        else None,
    )


def _notebook(graded: Graded) -> Html | None:
    """What did not simply run; nothing when all did."""
    run = graded.notebook
    words_of = {"error": "ended with an error", "timeout": "took too long", "not run": "did not run"}
    cells = [
        tag(
            "li",
            "Cell ",
            tag("code", cell.id),
            f" {words_of.get(cell.status, cell.status)}",
            _after(cell.message),
        )
        for cell in run.cells
    ]
    stopped = (
        tag("p", "It was stopped before its end", _after(run.reason), ".")
        if run.status == "stopped"
        else None
    )
    return _section("How your notebook ran", stopped, tag("ul", *cells) if cells else None)


def _after(text: str) -> str:
    return f": {text.rstrip('.')}" if text else ""


def _how(graded: Graded, score: Score, released: bool) -> Html:
    """At the very end: what really ran, where, when, and with which inputs."""
    result = graded.result
    rows = [*_realism(result.outcomes if result else [])]
    handed = graded.handed
    taken = [*handed.artifacts, *(f"cell {name}" for name in handed.answer_cells)]
    rows += [
        ("Taken from you", ", ".join(taken)),
        ("Isolation", graded.isolation),
        ("Engine", result.engine.partition(" (built:")[0].partition(" (PATH:")[0] if result else ""),
        ("Machine", result.machine if result else ""),
        ("Graded", graded.graded.replace("T", " ").replace("+00:00", " UTC")),
    ]
    inputs = words.hidden_inputs(graded)
    if inputs and not released:
        rows.append(("Inputs", "drawn for you alone; shown here after the deadline"))
    shown = [row for row in rows if row[1]]
    return tag(
        "footer",
        tag("h2", "How this was graded"),
        terms(shown) if shown else tag("p", "Nothing of it was run."),
        tag("details", tag("summary", "The exact inputs"), terms(inputs)) if inputs and released else None,
    )


def _realism(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Which checks ran the real thing, and which did not."""
    groups: dict[str, list[str]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.realism, []).append(
            f"{outcome.check} ({outcome.stands_in})"
            if outcome.stands_in and outcome.realism == "emulated"
            else outcome.check
        )
    meaning = {
        "real": "the thing itself ran",
        "emulated": "a real tool against a stand-in",
        "schema": "only its form was checked",
    }
    rows = []
    for kind, names in groups.items():
        everything = kind == "real" and len(groups) == 1
        rows.append(
            (kind.capitalize(), meaning.get(kind, kind) + ("" if everything else f": {', '.join(names)}"))
        )
    return rows
