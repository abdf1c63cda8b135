"""One submission in, one result out. Nothing is shared between two of them but the machine's turn to measure."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from .. import __version__, checks, models
from ..checks import Evidence
from ..checks.parts import files_of
from ..course.info import LabInfo, find_lab, read_info
from ..errors import LabError
from ..load.turn import Turn
from ..models.known import NAMES
from ..submissions.answers import from_source
from ..submissions.handed_in import Submission, key_of
from ..submissions.submission import Taken, take
from . import daemon
from .notebook import Answers, read_answers, run_notebook, show_verdict
from .rules import Rules, read_rules
from .sandbox import CONTAINERS, Sandbox, kind
from .schema import Graded, Handed, NotebookRun

#: A notebook of a container lab, where a sandbox cannot keep the Docker daemon from its cells.
NOT_RUN = (
    "The notebook was not run, because bubblewrap is not here; answers count as they stand in their cells."
)

#: For a call that gives no secret: the same inputs for everybody who grades with it. A class has one of its own.
NO_SECRET = b"llmlab"


@dataclass(frozen=True, slots=True)
class Work:
    """A result, and the executed notebook (nbformat) that belongs to it, if it was run."""

    graded: Graded
    notebook: Any = None


def grade(
    lab: str | Path | LabInfo,
    submission: str | Path,
    *,
    learner: str | None = None,
    secret: bytes = NO_SECRET,
) -> Graded:
    """Grade one submission: a folder, a zip or a notebook. Needs no course folder and keeps nothing.

    :param lab: number or name of a lab of the course at hand, or the folder of any lab.
    :param secret: what the learner's own inputs are drawn from.
    :raises LabError: there is no such lab, or no Docker for a container lab. What is wrong with the submission stands in the result.
    """
    info = lab if isinstance(lab, LabInfo) else _lab(lab)
    rules = read_rules(info.folder)
    path = Path(submission)
    name = learner or path.name.removesuffix(path.suffix) or "learner"
    one = Submission(name, key_of(name), path.absolute())
    with daemon.held(info, rules.processes):
        return grade_one(info, one, secret=secret, rules=rules).graded


def _lab(lab: str | Path) -> LabInfo:
    return read_info(Path(lab)) if (Path(lab) / "lab.toml").is_file() else find_lab(str(lab))


def seed(secret: bytes, lab: str, key: str, purpose: str) -> int:
    """What one learner's inputs for one purpose are drawn from: HMAC-SHA256, cut to 31 bits."""
    digest = hmac.new(secret, "\0".join((lab, key, purpose)).encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:4]) & 0x7FFFFFFF


def fingerprint(info: LabInfo, taken: Taken, seeds: Mapping[str, int], rules: Rules) -> str:
    """The same when the same submission would be graded in the same way again."""
    parts = (__version__, taken.sha256, sorted(seeds.items()), rules, info.artifacts, info.points)
    digest = hashlib.sha256(repr(parts).encode())
    for path in (
        info.folder / "checks.py",
        info.notebook,
    ):  # of lab.toml only what is above: a new title is no reason
        digest.update(path.read_bytes())
    for path in files_of(info.folder)[1:]:  # the parts that checks.py may be made of
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def grade_one(
    info: LabInfo,
    submission: Submission,
    *,
    secret: bytes,
    rules: Rules | None = None,
    turn: Turn | None = None,
    root: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    known: Graded | None = None,
    stop: threading.Event | None = None,
) -> Work:
    """Take a submission apart, run its notebook in one sandbox and its deployment in another, write up what was found.

    :param root: paths in the result are told from here.
    :param stop: set when everything was interrupted: nothing new is started then.
    :param known: an earlier result; returned as it is when nothing has changed since.
    """
    rules = rules or read_rules(info.folder)
    began = time.monotonic()
    seeds = {purpose: seed(secret, info.name, submission.key, purpose) for purpose in ("notebook", "checks")}
    where = (
        str(submission.path.relative_to(root))
        if root and submission.path.is_relative_to(root)
        else submission.path.name
    )
    kind = (
        "folder" if submission.path.is_dir() else "notebook" if submission.path.suffix == ".ipynb" else "zip"
    )

    def told(status: str, handed: Handed, **more: Any) -> Graded:
        return Graded(
            lab=info.name,
            learner=submission.learner,
            key=submission.key,
            status=status,
            handed=handed,
            seeds=seeds,
            graded=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - began, 3),
            **more,
        )

    with tempfile.TemporaryDirectory(prefix="llmlab-taken-") as folder:
        try:
            taken = take(submission.source, info, Path(folder) / "files")
        except LabError as error:
            handed = Handed(path=where, kind=kind, sha256="")
            return Work(told("refused", handed, reason=_said(error), remarks=list(submission.remarks)))
        except Exception:  # nothing that is handed in may stop the others
            handed = Handed(path=where, kind=kind, sha256="")
            return Work(
                told("error", handed, reason=traceback.format_exc(limit=-4), remarks=list(submission.remarks))
            )
        remarks = [*submission.remarks, *taken.remarks]
        if _nothing(taken):
            handed = Handed(path=where, kind=kind, sha256="")
            files = ", ".join(taken.missing)
            reason = f"Nothing of this lab was handed in: no notebook with a cell of it, and no {files}."
            return Work(told("refused", handed, reason=reason, remarks=remarks))
        handed = Handed(
            path=where,
            kind=kind,
            sha256=taken.sha256,
            submitted=taken.submitted.isoformat(timespec="seconds") if taken.submitted else None,
            artifacts=list(taken.artifacts),
            answer_cells=list(taken.cells),
        )

        def step(text: str) -> None:
            if stop is not None and stop.is_set():
                raise InterruptedError
            say(text)

        print_ = fingerprint(info, taken, seeds, rules)
        if known is not None and known.fingerprint == print_ and known.status == "graded":
            return Work(known)
        late = ["The platform that it was handed in on marks it as late."] if submission.late_mark else []
        remarks = [*late, *remarks]
        try:
            return _graded(info, submission, taken, rules, seeds, turn, step, told, handed, remarks, print_)
        except Exception:  # a bug of ours must cost the learner nothing, stop nobody else, and be seen
            return Work(told("error", handed, reason=traceback.format_exc(limit=-4), remarks=remarks))


def _graded(
    info: LabInfo,
    submission: Submission,
    taken: Taken,
    rules: Rules,
    seeds: Mapping[str, int],
    turn: Turn | None,
    say: Callable[[str], None],
    told: Callable[..., Graded],
    handed: Handed,
    remarks: list[str],
    print_: str,
) -> Work:
    _bring_models(taken)
    notebook, ran = None, NotebookRun(status="none")
    answers: Answers = {}
    cpu, outlived = 0.0, []
    common: dict[str, Any] = {"lab": info.folder, "allowance": rules.allowance}
    runs = rules.notebook > 0
    if runs and daemon.needed(info) and kind() != "bubblewrap":
        runs, remarks = False, [*remarks, NOT_RUN]
    if runs:
        say("notebook")
        env = {"LLMLAB_GRADING": "1", "LLMLAB_PROFILE": "binder", "LLMLAB_READY": str(rules.ready)}
        with Sandbox(**common, read=[taken.folder], env=env, label=f"notebook of {submission.key}") as box:
            notebook, ran, text = run_notebook(
                info,
                box,
                files=taken.folder,
                cells=taken.cells,
                seed=seeds["notebook"],
                wall=rules.notebook,
                answer=rules.answer,
                turn=turn,
            )
            cpu += box.cage.cpu_seconds()
        outlived += box.outlived
        answers, unread = read_answers(text)
        remarks += unread
    # Where a cell failed or was not reached, what stands in it as a plain value counts all the same. A notebook that was
    # stopped has told nothing, not even of the cells that had ended well.
    unfinished = {cell.id for cell in ran.cells} if ran.status == "ran" else set(taken.cells)
    answers = _literal(taken, unfinished) | answers
    say("checks")
    with Sandbox(**common, label=f"deployment of {submission.key}", containers=daemon.needed(info)) as box:
        result = checks.run(
            box.course / "labs" / info.name,
            taken.folder,
            artifacts=taken.artifacts,
            answers=answers,
            seed=seeds["checks"],
            problems=[f"{name} {why}" for name, why in taken.missing.items()],
            on_event=lambda event: say(f"check {event['check']}") if event["event"] == "start" else None,
            spawn=box.popen,
            wall=rules.checks,
            ready=rules.ready,
            turn=turn,
            own_doing=lambda: _used_up(box),
        )
        cpu += box.cage.cpu_seconds()
        if used_up := _used_up(box):
            remarks = [*remarks, f"Memory: expected that {used_up.expected}; {used_up.observed}."]
    outlived += box.outlived
    died = next((outcome for outcome in result.outcomes if outcome.check == "grader"), None)
    if died is not None:  # half a result would be scaled up to a whole one
        return Work(
            told("error", handed, result=result, reason=died.reason, remarks=remarks, leftovers=outlived)
        )
    if notebook is not None:
        show_verdict(notebook, result)
    graded = told(
        "graded",
        handed,
        result=result,
        answers=answers,
        journal=list(taken.journal),
        notebook=ran,
        remarks=remarks,
        isolation=box.line,
        cpu_seconds=round(cpu, 3),
        leftovers=outlived,
        fingerprint=print_,
    )
    return Work(graded, notebook)


def _used_up(box: Sandbox) -> Evidence | None:
    """That a deployment has used up its memory, where it has: beside it there are only checks and servers of the lab's own, whose size
    is known, so a check that found no room was robbed of it by what it was to check.

    Of a container lab only our own checks run in the cage: what they use up is no doing of a submission.
    """
    if box.kind == CONTAINERS or not box.cage.out_of_memory():
        return None
    allowed = box.allowance.memory / 2**20
    return Evidence(
        f"what was deployed and what checks it fit into {allowed:,.0f} MiB of memory",
        "what was deployed used it up, and the system ended a process",
        "llmlab check, and beside it: top -o %MEM",
    )


def _nothing(taken: Taken) -> bool:
    """Whether there is neither a notebook nor a file of the lab, under whatever name, that could be graded."""
    absent = all(why == "was not handed in" for why in taken.missing.values())
    return bool(taken.missing) and absent and not taken.artifacts and taken.notebook is None


def _said(error: LabError) -> str:
    """For the learner: without the path it has on the grader's machine."""
    return " ".join(filter(None, [error.what, f"Please {error.fix}." if error.fix else ""]))


def _literal(taken: Taken, cells: set[str]) -> Answers:
    found: Answers = {}
    for source in (source for name, source in taken.cells.items() if name in cells):
        for name, value in from_source(source).items():
            with suppress(msgspec.ValidationError):
                found[name] = msgspec.convert(value, Answers.__args__[1])  # type: ignore[attr-defined]
    return found


def _bring_models(taken: Taken) -> None:
    """Synthetic models that the files name are written outside, once: a sandbox has no room for a large one."""
    for name in taken.artifacts:
        text = (taken.folder / name).read_text(encoding="utf-8", errors="replace")
        for model in NAMES:
            if f'"{model}"' in text or f"'{model}'" in text:
                with suppress(LabError):
                    models.get(model)
