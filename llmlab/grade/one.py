"""One submission in, one result out. Nothing is shared between two of them but the machine's turn to measure."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import checks
from ..checks import Evidence
from ..course.info import LabInfo, find_lab, read_info
from ..load.turn import Turn
from ..submissions.handed_in import Submission, key_of
from . import daemon
from .answers import answers_of
from .box import Box, GradingPlace
from .here import Here
from .notebook import run_notebook, show_verdict
from .opened import Opened, opened
from .rules import Rules, read_rules
from .sandbox import CONTAINERS
from .schema import Graded, NotebookRun
from .view import notebook_variables

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
    place: GradingPlace | None = None,
) -> Work:
    """Take a submission apart, run its notebook in one sandbox and its deployment in another, write up what was found.

    :param root: paths in the result are told from here.
    :param stop: set when everything was interrupted: nothing new is started then.
    :param known: an earlier result; returned as it is when nothing has changed since.
    :param place: where its steps run; this machine unless it is said.
    """
    rules = rules or read_rules(info.folder)

    def step(text: str) -> None:
        if stop is not None and stop.is_set():
            raise InterruptedError
        say(text)

    with opened(info, submission, secret=secret, rules=rules, root=root) as found:
        if isinstance(found, Graded):
            return Work(found)
        if known is not None and known.fingerprint == found.fingerprint and known.status == "graded":
            return Work(known)
        try:
            return _graded(info, found, rules, turn, step, place or Here())
        except Exception:  # a bug of ours must cost the learner nothing, stop nobody else, and be seen
            return Work(found.told("error", reason=traceback.format_exc(limit=-4), remarks=found.remarks))


def _graded(
    info: LabInfo,
    found: Opened,
    rules: Rules,
    turn: Turn | None,
    say: Callable[[str], None],
    place: GradingPlace,
) -> Work:
    taken, seeds, remarks = found.taken, found.seeds, found.remarks
    place.ready(taken)
    notebook, ran = None, NotebookRun(status="none")
    text = ""
    cpu, outlived = 0.0, []
    runs, containers = rules.notebook > 0, daemon.needed(info)
    if runs and not place.apart(containers=containers):
        runs, remarks = False, [*remarks, NOT_RUN]
    if runs:
        say("notebook")
        with place.notebook(
            info.folder,
            rules.allowance,
            read=[taken.folder],
            env=notebook_variables(rules.ready),
            label=f"notebook of {found.key}",
        ) as box:
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
    answers, unread = answers_of(taken.cells, ran, text)
    remarks = [*remarks, *unread]
    say("checks")
    with place.checks(
        info.folder, rules.allowance, containers=containers, label=f"deployment of {found.key}"
    ) as box:
        result = checks.run(
            box.course / "labs" / info.name,
            taken.folder,
            artifacts=taken.artifacts,
            answers=answers,
            seed=seeds["checks"],
            problems=[f"{name} {why}" for name, why in taken.missing.items()],
            on_event=lambda event: say(f"check {event['check']}") if event["event"] == "start" else None,
            spawn=box.popen,
            talk=box.talk,
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
            found.told("error", result=result, reason=died.reason, remarks=remarks, leftovers=outlived)
        )
    if notebook is not None:
        show_verdict(notebook, result)
    graded = found.told(
        "graded",
        result=result,
        answers=answers,
        journal=list(taken.journal),
        notebook=ran,
        remarks=remarks,
        isolation=box.line,
        cpu_seconds=round(cpu, 3),
        leftovers=outlived,
        fingerprint=found.fingerprint,
    )
    return Work(graded, notebook)


def _used_up(box: Box) -> Evidence | None:
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
