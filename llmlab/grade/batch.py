"""A whole class: a pool of submissions, written as they come, resumed where they stopped."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import msgspec

from .. import engine, machine, tier
from ..checks import load_checks
from ..course.hints import read_hints
from ..course.info import LabInfo
from ..errors import LabError
from ..load.turn import Turn
from ..say import quiet
from ..submissions.handed_in import Submission, handed_in, learners_in
from ..system import owned
from . import daemon, sandbox
from .cage import busy_seconds
from .feedback import feedback_page
from .gradebook import Row, write_gradebook, write_whole
from .gradescope import results_json
from .manual import Manual, ensure_template, read_manual
from .notebook import write_notebook
from .one import Work, grade_one
from .rules import Rules, read_rules
from .schema import Graded
from .scores import score
from .warm import warm

#: `(submission, what it is at)`, and a result as it comes.
Say = Callable[[Submission, str], None]
Heard = Callable[[Graded, bool], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a class is graded."""

    jobs: int = 0  # submissions at work at once; 0: one a core
    due: datetime | None = None  # aware
    released: bool = False  # the deadline is over: feedback may say what hidden inputs were
    regrade: frozenset[str] = frozenset()  # learners or keys that are graded again
    secret: Path | None = None  # a file; else one is made in the output folder


class Grading:
    """One class and one lab: `with Grading(info, submissions, out) as it: rows = it.run()`.

    :raises LabError: no such submissions, an output folder of another lab or in use, an unknown learner to regrade, a
        sidecar file that cannot be read.
    """

    def __init__(self, info: LabInfo, submissions: Path, out: Path, settings: Settings | None = None) -> None:
        self.info = info
        self._require()
        self.settings = settings or Settings()
        self.root = submissions.resolve()
        self.out = out.resolve()
        if self.root.is_relative_to(self.out) or self.out.is_relative_to(self.root):
            raise LabError(
                "The results would be written over the submissions.",
                where=str(out),
                fix="--out with a folder beside them",
            )
        self.rules: Rules = read_rules(info.folder)
        self.folders = learners_in(submissions, info)
        self.class_ = handed_in(submissions, info)
        self.jobs = self.settings.jobs or machine.cpus_allowed()
        self.checks = [(check.name, check.points) for check in load_checks(info.folder)]
        hints = info.folder / "hints.md"
        self.hints: Mapping[str, Sequence[str]] = read_hints(hints) if hints.exists() else {}
        self.results: dict[str, Graded] = {}
        self._unwritten = 0  # results since the gradebook was last written
        self._turn = Turn()
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._lock: int | None = None
        unknown = [name for name in self.settings.regrade if not self._named(name)]
        if unknown:
            raise LabError(
                f"Nobody is called {unknown[0]!r}.",
                fix="one of " + ", ".join(submission.key for submission in self.class_),
            )

    def _require(self) -> None:
        """What the place where submissions are graded must have.

        :raises LabError: when it has not.
        """
        daemon.require(self.info)
        by_hand = {need for room in tier.tiers() for need in room.by_hand}
        for need, brings in tier.all_of("fetches").items():
            if need in self.info.needs and need not in by_hand:
                tier.load(brings)(quiet, self.info)  # in a sandbox there is no way to fetch anything

    @property
    def where(self) -> str:
        """Where submissions are graded, in words."""
        return f"{self.jobs} at a time, each in a sandbox ({sandbox.kind(self.info)})"

    @property
    def wrapped(self) -> str:
        """Which folder is the class's, in words, where that is not the one that was named."""
        if self.folders in ([], [self.root]):
            return ""
        names = ", ".join(str(folder.relative_to(self.root)) for folder in self.folders)
        return f"The learners are what lies in {names}."

    def _named(self, name: str) -> list[Submission]:
        return [submission for submission in self.class_ if name in (submission.key, submission.learner)]

    def __enter__(self) -> Grading:
        self.out.mkdir(parents=True, exist_ok=True)
        self._lock = _only_one(self.out)
        try:
            self._clean()
            self.secret = _secret(self.settings.secret or self.out / "secret.key")
            self.due = _remember(self.out / "grading.json", self.info.name, self.settings.due)
            ensure_template(self.out / "manual.toml", self.info.questions)
            self._manual()  # a mistake in it is said before an hour of grading
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _clean(self) -> None:
        owned.clean()  # what a grader that was killed has left

    def _manual(self) -> Mapping[str, Manual]:
        return read_manual(
            self.out / "manual.toml",
            [submission.key for submission in self.class_],
            dict(self.checks),
            {question.name: question.points for question in self.info.questions},
        )

    # -- the pool -----------------------------------------------------------------------------------

    def run(self, *, say: Say = lambda *_: None, heard: Heard = lambda *_: None) -> list[Row]:
        """Grade all that is not graded yet; returns every row of the gradebook.

        An interrupt ends what is in flight and loses only that.
        """
        with daemon.held(self.info, self.jobs * self.rules.processes):
            return self._run(say, heard)

    def _run(self, say: Say, heard: Heard) -> list[Row]:
        with contextlib.suppress(LabError):  # without an engine the checks say so themselves
            engine.find().flags()  # asked once, outside: every sandbox then finds the answer in the cache
        if sandbox.kind() == "bubblewrap":  # also where only the notebook runs in it
            warm()
        pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="grade")
        waiting: set[Future[tuple[Graded, bool]]] = {
            pool.submit(self._one, submission, say) for submission in self.class_
        }
        try:
            for graded, resumed in _as_they_come(waiting):
                self._heard(graded, resumed, heard)
        except BaseException:
            self._stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            sandbox.end_all()
            pool.shutdown(wait=True)
            raise
        pool.shutdown()
        self._once_more(say, heard)
        return self.write()

    def _heard(self, graded: Graded, resumed: bool, heard: Heard) -> None:
        """A result is there."""
        self.results[graded.key] = graded
        heard(graded, resumed)
        self._pages(self.rows([graded.key]))
        self._unwritten += 1
        if self._unwritten * OFTEN >= len(
            self.results
        ):  # the whole table for each row of a large class would be the square of its work
            self._gradebook()

    def _one(self, submission: Submission, say: Say) -> tuple[Graded, bool]:
        again = bool(self.settings.regrade & {submission.key, submission.learner})
        known = None if again else self._read(submission)
        work = self._work(submission, say, known)
        if work.graded is known:
            return replace_where(known, submission, self.root), True
        self._write(work)
        return work.graded, False

    def _work(self, submission: Submission, say: Say, known: Graded | None = None) -> Work:
        return grade_one(
            self.info,
            submission,
            secret=self.secret,
            rules=self.rules,
            turn=self._turn,
            root=self.root,
            say=lambda text: say(submission, text),
            known=known,
            stop=self._stop,
        )

    def _once_more(self, say: Say, heard: Heard) -> None:
        """What could not be judged is measured again, with nothing else at work; once. What cannot be judged then either gets a remark on
        whose the CPU was: of an honest submission, next to nothing is left unclear on a quiet machine.
        """
        for submission in self.class_:
            before = unsure(self.results[submission.key])
            if before and not self.results[submission.key].remarks.count(AGAIN):
                busy = busy_seconds()
                work = self._work(submission, say)
                busy = busy_seconds() - busy
                if work.graded.status == "graded":
                    work = measured_again(work, busy)
                    self._write(work)
                    self.results[submission.key] = work.graded
                    heard(work.graded, False)

    # -- files --------------------------------------------------------------------------------------

    def _read(self, submission: Submission) -> Graded | None:
        try:
            return msgspec.json.decode((self.out / submission.key / "result.json").read_bytes(), type=Graded)
        except (OSError, msgspec.MsgspecError):
            return None

    def _write(self, work: Work) -> None:
        if self._stop.is_set():
            raise InterruptedError  # it ended because it was killed: that is no result
        folder = self.out / work.graded.key
        if work.notebook is not None:
            folder.mkdir(exist_ok=True)
            write_notebook(work.notebook, folder / "lab.ipynb")
        # Last, because where it is, the rest is too: a re-run resumes by it.
        write_whole(
            folder / "result.json", msgspec.json.format(msgspec.json.encode(work.graded), indent=1) + b"\n"
        )

    def rows(self, keys: Collection[str] | None = None) -> list[Row]:
        """What is known so far, with the instructor's points and lateness as the files say now.

        :param keys: of these learners alone.
        """
        manual = self._manual()
        made = []
        for key in [submission.key for submission in self.class_] if keys is None else keys:
            if key in self.results:
                graded = self.results[key]
                made.append(
                    (
                        graded,
                        score(
                            graded,
                            full=self.info.points,
                            due=self.due,
                            rule=self.info.late,
                            manual=manual.get(key),
                            questions=self.info.questions,
                        ),
                    )
                )
        return made

    def _gradebook(self) -> list[Row]:
        with self._writing:
            rows = self.rows()
            self._unwritten = 0
            write_gradebook(self.out / "gradebook.csv", rows, self.checks)
            return rows

    def write(self) -> list[Row]:
        """The gradebook, and every learner's page and Gradescope document."""
        rows = self._gradebook()
        self._pages(rows)
        return rows

    def _pages(self, rows: Iterable[Row]) -> None:
        released = self.settings.released
        for graded, points in rows:
            folder = self.out / graded.key
            page = feedback_page(graded, points, self.info, self.hints, released=released)
            write_whole(folder / "feedback.html", page.encode("utf-8", "backslashreplace"))
            document = results_json(graded, points, released=released)
            write_whole(folder / "results.json", json.dumps(document, indent=1).encode() + b"\n")


#: The gradebook is written again when one row of this many is new.
OFTEN = 64
AGAIN = "Something could not be judged at first; everything was measured a second time, with nothing else running."


def measured_again(work: Work, busy: float) -> Work:
    """A second run, which decides; where it could not either, with a remark on whose the CPU was.

    :param busy: CPU seconds that the machine worked meanwhile.
    """
    graded = work.graded
    remarks = [*graded.remarks, AGAIN]
    if unsure(graded) and graded.cpu_seconds and busy > 0:
        share = min(1.0, graded.cpu_seconds / busy)
        remarks.append(f"Of the CPU that was used meanwhile, {share:.0%} was used in its own sandboxes.")
    return replace(work, graded=msgspec.structs.replace(graded, remarks=remarks))


def unsure(graded: Graded) -> list[str]:
    """What a second run alone may decide: too noisy to judge, or a grader that stumbled (no room beside the others, say)."""
    outcomes = graded.result.outcomes if graded.result else []
    return [outcome.check for outcome in outcomes if outcome.status in ("inconclusive", "error")]


def replace_where(graded: Graded, submission: Submission, root: Path) -> Graded:
    """The same result, for a submission that has moved or is called otherwise now."""
    path = (
        str(submission.path.relative_to(root))
        if submission.path.is_relative_to(root)
        else submission.path.name
    )
    handed = msgspec.structs.replace(graded.handed, path=path)
    return msgspec.structs.replace(graded, learner=submission.learner, handed=handed)


def _as_they_come(waiting: Collection[Future[tuple[Graded, bool]]]) -> Iterator[tuple[Graded, bool]]:
    left = set(waiting)
    while left:
        done, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _only_one(out: Path) -> int:
    """Two graders in one folder would undo each other's work."""
    import fcntl

    lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise LabError(
            "Another llmlab grade writes to this folder.",
            where=str(out),
            fix="wait for it, or choose another --out",
        ) from None
    return lock


def _secret(path: Path) -> bytes:
    """The class's secret; made on first use, readable by its owner alone."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = path.read_bytes().strip()
        if len(secret) < 16:
            raise LabError("The secret is shorter than 16 characters.", where=str(path)) from None
        return secret
    except OSError as error:
        raise LabError(f"The secret cannot be kept: {error.strerror}.", where=str(path)) from None
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    return path.read_bytes().strip()


def _remember(path: Path, lab: str, due: datetime | None) -> datetime | None:
    """The deadline given now, else the one given last time; refuses another lab's folder."""
    kept: dict[str, str | None] = {}
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, str | None])
    if kept.get("lab", lab) != lab:
        raise LabError(
            f"This folder holds the results of {kept['lab']}.", where=str(path.parent), fix="another --out"
        )
    due = due or (datetime.fromisoformat(kept["due"]) if kept.get("due") else None)  # type: ignore[arg-type]
    write_whole(path, json.dumps({"lab": lab, "due": due.isoformat() if due else None}).encode() + b"\n")
    return due
