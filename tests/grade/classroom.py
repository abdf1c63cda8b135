"""A class on paper: graded submissions of lab 01 as the grader would have left them, hostile names among them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from llmlab.checks import Evidence, Outcome, Result
from llmlab.course.info import LateRule, find_lab
from llmlab.grade.schema import CellRun, Graded, Handed, NotebookRun
from llmlab.grade.scores import score

COURSE = Path(__file__).resolve().parents[2]
INFO = find_lab("01", COURSE)
DUE = datetime(2026, 11, 20, 18, 0, tzinfo=UTC)
RULE = LateRule(grace_minutes=15, per_day=0.1, at_most=0.5)
POINTS = {
    "starts": 1, "slots": 1, "context-per-slot": 3, "closed-door": 2, "counters": 1, "goodput": 2, "knee": 2,
}  # fmt: skip
TITLES = {
    "starts": "server.toml describes a server that starts",
    "slots": "It works on 4 requests at once",
    "context-per-slot": "4 users at once, 3,000-token prompts each",
    "closed-door": "Nobody without a key gets in from outside",
    "counters": "Its own counters count every token",
    "goodput": "Goodput with four users is what this machine can give",
    "knee": "You know where its knee is",
}
SECRET = "each prompt had 2,941 tokens"
SEED = 7734201
HOSTILE = [
    "<script>alert(1)</script>",
    '"; DROP TABLE grades; --',
    'Robert "Bob", Jr.',
    "two\nlines\r\nthree",
    "‮gnitseretni",
    "=HYPERLINK(\"http://example.org\",\"A\")",
    "+1", "-2+3", "@SUM(A1)", "\tTab", "\rReturn", "  =1+1", "＝1",
    "a;=b", "Zoë Müller", "北京 🦙", "</style><img src=x onerror=alert(1)>", "' onmouseover='x", "\x1b[2Jclear", "nul\x00",
    "x" * 9000,
]  # fmt: skip


def outcome(check: str, status: str = "passed", **other) -> Outcome:
    full = POINTS.get(check, 0)
    evidence = Evidence(
        other.pop("expected", f"what {check} expects"),
        other.pop("observed", f"what {check} saw"),
        other.pop("look", f"curl -s http://127.0.0.1:8080/{check}"),
        other.pop("hidden", ""),
    )
    if status in ("skipped", "error"):
        evidence = None
    return Outcome(
        check=check,
        title=TITLES.get(check, check),
        status=status,
        points=full if status == "passed" else 0,
        max_points=full,
        evidence=evidence,
        **other,
    )


def graded(
    key: str = "Zoë Müller", *, learner: str | None = None, late: timedelta | None = None, **status
) -> Graded:
    """A graded submission; `status` by check ("context_per_slot"), all passed unless said; values may be outcomes."""
    said = {
        name.replace("_", "-"): value for name, value in status.items() if name.replace("_", "-") in POINTS
    }
    other = {name: value for name, value in status.items() if name.replace("_", "-") not in POINTS}
    outcomes = [
        value if isinstance(value, Outcome) else outcome(name, value)
        for name, value in {name: said.get(name, "passed") for name in POINTS}.items()
    ]
    result = Result(
        lab=INFO.name,
        created="2026-11-21T09:00:00+00:00",
        seed=SEED,
        outcomes=outcomes,
        engine="llama-server b5000",
        machine="AMD EPYC, 2 cores",
    )
    submitted = (DUE + (late if late is not None else timedelta(hours=-2))).isoformat()
    base = {
        "lab": INFO.name,
        "learner": key if learner is None else learner,
        "key": key,
        "status": "graded",
        "handed": Handed(
            path=key,
            kind="folder",
            sha256="0" * 64,
            submitted=submitted,
            artifacts=["server.toml"],
            answer_cells=["answer-knee"],
        ),
        "result": result,
        "answers": {"knee": 3},
        "isolation": "bubblewrap: its own network, processes and files",
        "graded": "2026-11-21T09:00:07+00:00",
        "seconds": 42.5,
    }
    return Graded(**(base | other))


def refused(key: str = "bomb", reason: str = "the zip unpacks to 40 GB") -> Graded:
    return graded(key, status="refused", result=None, reason=reason, answers={}, graded="")


def broken(key: str = "unlucky") -> Graded:
    return graded(key, status="error", result=None, reason='Traceback: File "/root/grader.py"', answers={})


def rich() -> Graded:
    """One of everything: what the page has to show."""
    return graded(
        context_per_slot=outcome(
            "context-per-slot",
            "failed",
            expected="4 of 4 prompts of about 3,000 tokens answered with 64 tokens each",
            observed="0 answered; each slot has 1,024 tokens. The server: HTTP 400: request (about 3000 tokens) exceeds the available context size (1024 tokens)",
            look='server = lab.serve("server.toml"); server.load(concurrency=4, requests=4, prompt_tokens=3000, warmup=0)',
            hidden=SECRET,
            data={"ctx_per_slot": 1024},
        ),
        goodput=outcome("goodput", "skipped", waits=["context-per-slot"]),
        counters=outcome(
            "counters", "inconclusive", reason="the machine is too noisy to say; run the check again"
        ),
        late=timedelta(hours=30),
        remarks=[
            "The cell check-1 was edited; the instructor's copy ran instead.",
            "photo.jpg is none of this lab's files.",
        ],
        notebook=NotebookRun(
            status="stopped",
            reason="it took more than 120 s",
            cells=[CellRun(id="serve", status="timeout", message="the server never answered")],
        ),
        seeds={"prompt": SEED},
    )


def undecided() -> Graded:
    """A submission of which 3 of 12 points could not be judged: more than goes without a look."""
    return graded(
        counters=outcome("counters", "inconclusive", reason="the machine is too noisy to say"),
        closed_door=outcome(
            "closed-door", "error", reason='Traceback (most recent call last):\n  File "/root/secret.py"'
        ),
        knee="failed",
    )


def scored(one: Graded, *, due=DUE, rule=RULE, manual=None, full: float = 12):
    return score(one, full=full, due=due, rule=rule, manual=manual)
