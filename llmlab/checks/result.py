"""What a check leaves behind: evidence, outcome, and the result of a whole lab. Versioned JSON."""

from __future__ import annotations

from msgspec import Struct, field

SCHEMA = "llmlab/result/1"

#: status -> (symbol, word).
SIGNS = {
    "passed": ("✔", "passed"),
    "failed": ("✘", "failed"),
    "skipped": ("–", "skipped"),
    "inconclusive": ("?", "inconclusive"),
    "error": ("!", "grader error"),
}


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """Three lines: what was expected, what was observed, how to see it yourself (a command to paste).

    `hidden` is what a hidden input was: for the instructor, and for the learner after the deadline. It is kept
    in the JSON and shown neither as text nor as HTML.
    """

    expected: str  # what should be seen
    observed: str  # what was
    look: str = ""  # a command that shows it
    hidden: str = ""  # what a hidden input was


class Outcome(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one check said."""

    check: str  # its name
    title: str  # its promise, in words
    status: str  # passed | failed | skipped | inconclusive | error
    points: float  # earned
    max_points: float  # to be earned
    realism: str = "real"  # real | emulated | schema
    stands_in: str | None = None  # emulated: what stood in
    evidence: Evidence | None = None  # what was expected and what was seen
    reason: str | None = None  # why skipped, inconclusive or error
    waits: list[str] = field(default_factory=list)  # skipped: the checks that would have to pass first
    lacks: list[str] = field(default_factory=list)  # skipped: what the machine has not
    seconds: float = 0.0  # that it took
    data: dict[str, float | int | str | bool | None] = field(default_factory=dict)  # figures behind it

    def lines(self) -> list[str]:
        """As plain text: how it ended, its promise and points; and, unless it passed, why."""
        sign, word = SIGNS[self.status]
        out = [f"{sign} {self.check}: {self.title} ({word}, {self.points:g}/{self.max_points:g})"]
        if self.status == "passed":
            return out
        if self.reason:
            out.append(f"    {self.reason}")
        if self.evidence:
            out += [f"    expected: {self.evidence.expected}", f"    observed: {self.evidence.observed}"]
            if self.evidence.look:
                out.append(f"    look:     {self.evidence.look}")
        return out


class Result(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all checks of a lab said about one folder of files."""

    lab: str  # NN-slug
    created: str  # ISO 8601, UTC
    seed: int  # what hidden inputs were drawn from
    outcomes: list[Outcome]  # one a check
    engine: str = ""  # in one line
    machine: str = ""  # in one line
    seconds: float = 0.0  # that all checks took
    schema: str = SCHEMA  # the version of this document

    @property
    def points(self) -> float:
        """Points earned."""
        return sum(outcome.points for outcome in self.outcomes)

    @property
    def max_points(self) -> float:
        """Points there were to earn; what was inconclusive or the grader's fault costs nobody any."""
        return sum(
            outcome.max_points for outcome in self.outcomes if outcome.status not in ("inconclusive", "error")
        )

    @property
    def passed(self) -> bool:
        """Whether nothing failed, was skipped or broke (inconclusive is no failure)."""
        return all(outcome.status in ("passed", "inconclusive") for outcome in self.outcomes)

    @property
    def failing(self) -> list[str]:
        """Names of the checks that failed."""
        return [outcome.check for outcome in self.outcomes if outcome.status == "failed"]

    def __getitem__(self, name: str) -> Outcome:
        for outcome in self.outcomes:
            if outcome.check == name:
                return outcome
        raise KeyError(name)

    def lines(self) -> list[str]:
        """The result as plain text."""
        out = [f"Lab {self.lab}: {self.points:g} of {self.max_points:g} points"]
        for outcome in self.outcomes:
            first, *more = outcome.lines()
            badge = f" [{outcome.realism}: {outcome.stands_in or 'form only'}]"
            out += [first + (badge if outcome.realism != "real" else ""), *more]
        return out

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return str(self)
