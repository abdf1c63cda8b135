"""The result of one submission: versioned JSON, written once it is graded, read again by everything else.

Lateness and an instructor's own points are not in here: they are rules and a sidecar file, applied whenever the
gradebook is written, so that they survive a regrade.
"""

from __future__ import annotations

from msgspec import Struct, field

from ..checks import Result
from ..course.journal import Noted

SCHEMA = "llmlab/graded/1"


class Handed(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a submission came from."""

    path: str  # relative to the submissions folder
    kind: str  # folder | zip | notebook
    sha256: str  # of what was taken: artifacts, answer cells, records
    submitted: str | None = None  # ISO 8601, UTC: the newest file time of what was taken
    artifacts: list[str] = field(default_factory=list)  # that were taken
    answer_cells: list[str] = field(default_factory=list)  # ids that were taken


class CellRun(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A cell of the executed notebook that did not simply end well."""

    id: str  # the cell's, in the notebook
    status: str  # error | timeout | not run
    message: str = ""  # the error's, or why


class NotebookRun(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the instructor's copy with the learner's answer cells ran."""

    status: str  # ran | stopped | none  (stopped: killed before its end; none: the lab is graded without running it)
    reason: str = ""  # why it was stopped
    cells: list[CellRun] = field(default_factory=list)  # those that did not simply end well
    seconds: float = 0.0  # that it took


class Graded(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is known of one learner's submission."""

    lab: str  # NN-slug
    learner: str  # as the export names them: "Zoë Müller, Jr."
    key: str  # the same, safe as a folder's name and unique in the class
    status: str  # graded | refused (nothing in it could be taken) | error (the grader's own fault)
    handed: Handed
    result: Result | None = None
    reason: str | None = None  # why refused or error
    remarks: list[str] = field(default_factory=list)  # what was ignored, refused or mended; plain sentences
    answers: dict[str, float | int | str | bool | list[float | int | str | bool | None] | None] = field(
        default_factory=dict
    )
    notebook: NotebookRun = NotebookRun(status="none")
    journal: list[Noted] = field(default_factory=list)  # the learner's own, as handed in; nobody grades it
    isolation: str = ""  # which sandbox held it, in words
    seeds: dict[str, int] = field(default_factory=dict)  # purpose -> what its inputs were drawn from
    graded: str = ""  # ISO 8601, UTC
    seconds: float = 0.0  # from start to end
    cpu_seconds: float = 0.0  # of its sandboxes
    leftovers: list[str] = field(default_factory=list)  # what outlived its sandbox: the grader's own fault
    fingerprint: str = ""  # of submission, lab and seed: a re-run resumes where it matches
    schema: str = SCHEMA
