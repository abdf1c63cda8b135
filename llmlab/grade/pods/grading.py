"""A whole class on a cluster: dealt into batches, gone on with where it stopped, and in the end the same gradebook as on one machine."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from ...checks import load_checks
from ...course.info import LabInfo
from ...errors import LabError
from ...submissions.handed_in import Submission
from ...system import owned
from ..batch import AGAIN, Grading, Heard, Say, Settings, measured_again, unsure
from ..gradebook import Row, write_whole
from ..one import Work, grade_one
from ..opened import opened
from ..schema import Graded
from . import manifest, owning, packing, room, trouble
from .access import Access, ApiRefusal
from .job import GradingJob
from .told import Told, ToldPlace

#: Batches in which a submission is tried, before its row says that the grader failed.
ROUNDS = 3
#: Bytes of all submissions of a batch, and how many they are at most.
MOST_BYTES, MOST_INDEXES = 8_000_000, 2_000
AT_ONCE = 4  # pods, where we may not ask how many nodes there are


@dataclass(frozen=True, slots=True)
class PodSettings:
    """Where a class is graded, and how."""

    image: str  # reference of the course's image
    named: bool = False  # the namespace was chosen by somebody
    parallelism: int = 0  # pods at once; 0: one a core of the nodes, one a node where they measure
    runtime: str = ""  # a RuntimeClass without a network


class Round(msgspec.Struct, kw_only=True):
    """The batch that is in the cluster: what somebody who comes back has to know of it."""

    context: str  # of the kubeconfig
    namespace: str  # in that cluster
    name: str  # of the Job
    again: bool = False  # what could not be judged, once more
    keys: list[str] = msgspec.field(default_factory=list)  # index → learner's key
    fingerprints: list[str] = msgspec.field(default_factory=list)  # index → what was sent


class Tried(msgspec.Struct, kw_only=True):
    """What came of one submission's earlier batches."""

    times: int = 0  # without a result
    why: str = ""  # the last time
    memory: bool = False  # its notebook used up its memory, so it is not run again


class PodGrading(Grading):
    """One class and one lab, in the pods of a cluster; used as `Grading`.

    :raises LabError: as `Grading`; for a lab that cannot be graded in pods, and for everything that the cluster lacks.
    """

    def __init__(
        self,
        info: LabInfo,
        submissions: Path,
        out: Path,
        access: Access,
        pods: PodSettings,
        settings: Settings | None = None,
    ) -> None:
        self.access = access
        self.pods = pods
        self.tried: dict[str, Tried] = {}  # by key
        self.alone = any(check.timed for check in load_checks(info.folder))  # no two pods on a node
        self._entry: Path | None = None
        self._at: Say = lambda *_: None
        super().__init__(info, submissions, out, settings)

    @property
    def where(self) -> str:
        """Where submissions are graded, in words."""
        alone = ", one at a time on each node, because it measures" if self.alone else ""
        return f"in pods of {self.access.context}, namespace {self.access.namespace}{alone}"

    def _require(self) -> None:
        room.require_pods(self.info)

    def _clean(self) -> None:
        mine = owning.of(self.out)
        if mine is not None:
            self._entry = owned.adopt(mine)
        super()._clean()

    # -- the class -----------------------------------------------------------------------------------

    def _run(self, say: Say, heard: Heard) -> list[Row]:
        self._at = say
        self._elsewhere()
        try:
            room.enter(self.access, named=self.pods.named)
            waiting = self._open(heard)
            self._go_on(waiting, heard)
            while waiting:
                self._deal(waiting, heard)
            self._once_more(say, heard)
        except ApiRefusal as error:
            raise trouble.refused(self.access, error) from None
        finally:
            self._end()
            with suppress(LabError):
                room.leave(self.access)
        return self.write()

    def _elsewhere(self) -> None:
        """Whether a batch of this folder is in another cluster.

        :raises LabError: when one is.
        """
        left = self._left()
        here = (self.access.context, self.access.namespace)
        if left is not None and self._entry is not None and (left.context, left.namespace) != here:
            raise LabError(
                f"A batch of this folder is still in {left.context}, namespace {left.namespace}.",
                where=str(self._file),
                fix=f"go on there: --context {left.context}; or end it: llmlab clean",
            )

    def _open(self, heard: Heard) -> dict[str, Submission]:
        """What is to be graded; what is known already, or cannot be graded, is heard at once."""
        waiting = {}
        for submission in self.class_:
            again = bool(self.settings.regrade & {submission.key, submission.learner})
            known = None if again else self._read(submission)
            with opened(self.info, submission, secret=self.secret, rules=self.rules, root=self.root) as found:
                if isinstance(found, Graded):
                    self._take(Work(found), heard)
                elif (
                    known is not None and known.status == "graded" and known.fingerprint == found.fingerprint
                ):
                    self._heard(known, True, heard)
                else:
                    waiting[submission.key] = submission
        return waiting

    def _go_on(self, waiting: dict[str, Submission], heard: Heard) -> None:
        """Hear the batch that an earlier grader has left in the cluster, if it has."""
        left = self._left()
        if left is None or self._entry is None:
            return
        job = GradingJob(self.access, left.name, self.pods.image)
        if left.again or not job.there():
            self._end()
        else:
            self._hear(job, left, waiting, heard)

    def _deal(self, waiting: dict[str, Submission], heard: Heard, *, again: bool = False) -> None:
        """One batch of those that wait: as many as fit, from its making to its end."""
        name = f"llmlab-{self.info.number}-{secrets.token_hex(4)}"
        batch = Round(context=self.access.context, namespace=self.access.namespace, name=name, again=again)
        parcels: list[bytes] = []
        seals: list[bytes] = []
        size = 0
        for key, submission in list(waiting.items()):
            with opened(self.info, submission, secret=self.secret, rules=self.rules, root=self.root) as found:
                if isinstance(found, Graded):  # it has changed meanwhile
                    del waiting[key]
                    self._take(Work(found), heard)
                    continue
                try:
                    packed = packing.pack_submission(
                        self.info,
                        found.taken,
                        self.rules,
                        seed=found.seeds["notebook"],
                        fingerprint=found.fingerprint,
                        memory=self._tried(key).memory,
                    )
                except LabError as error:
                    del waiting[key]
                    self._take(Work(found.told("error", reason=str(error), remarks=found.remarks)), heard)
                    continue
                if size + len(packed) > MOST_BYTES or len(parcels) == MOST_INDEXES:
                    break
                size += len(packed)
                parcels.append(packed)
                seals.append(packing.sealed(self.secret, found.seeds["checks"], found.fingerprint, name))
                batch.keys.append(key)
                batch.fingerprints.append(found.fingerprint)
        if not parcels:
            return
        write_whole(self._file, msgspec.json.encode(batch) + b"\n")
        self._entry = owning.register(self.access, name, self.out)
        job = GradingJob(self.access, name, self.pods.image)
        job.make(
            self.rules, self._shape(again), lab=packing.pack_lab(self.info), parcels=parcels, seals=seals
        )
        del parcels
        self._hear(job, batch, waiting, heard)

    def _hear(self, job: GradingJob, batch: Round, waiting: dict[str, Submission], heard: Heard) -> None:
        """A batch to its end: each result is written when its pod has told it."""
        tokens = [packing.token(self.secret, mark, batch.name) for mark in batch.fingerprints]
        for key in batch.keys:
            if key in waiting:
                self._at(waiting[key], "pod")
        for outcome in job.heard(tokens):
            key, mark = batch.keys[outcome.index], batch.fingerprints[outcome.index]
            submission = waiting.get(key)
            if submission is None:
                continue
            if outcome.told is not None:
                work = self._written(submission, outcome.told, mark)
                if work is not None and batch.again:
                    del waiting[key]
                    if work.graded.status == "graded":  # else what was known before stays
                        self._take(measured_again(work, outcome.told.facts.busy), heard)
                elif work is not None:
                    del waiting[key]
                    self._take(work, heard)
                continue
            if batch.again:
                del waiting[key]
                continue
            tried = self._tried(key)
            tried.times += 1
            tried.why = outcome.why
            tried.memory = tried.memory or outcome.memory
            if tried.times >= ROUNDS:
                del waiting[key]
                self._take(self._failed(submission, tried), heard)
        self._end()

    def _written(self, submission: Submission, told: Told, mark: str) -> Work | None:
        """The result of what a pod told; None when the submission is another one by now."""
        work = grade_one(
            self.info,
            submission,
            secret=self.secret,
            rules=self.rules,
            root=self.root,
            place=ToldPlace(told),
        )
        if work.graded.status == "graded" and not work.graded.fingerprint == told.fingerprint == mark:
            return None
        seconds = round(told.facts.seconds + work.graded.notebook.seconds, 3)
        return replace(work, graded=msgspec.structs.replace(work.graded, seconds=seconds))

    def _failed(self, submission: Submission, tried: Tried) -> Work:
        with opened(self.info, submission, secret=self.secret, rules=self.rules, root=self.root) as found:
            if isinstance(found, Graded):
                return Work(found)
            reason = f"In {tried.times} batches no pod told its result: {tried.why}"
            return Work(found.told("error", reason=reason, remarks=found.remarks))

    def _take(self, work: Work, heard: Heard) -> None:
        self._write(work)
        self._heard(work.graded, False, heard)

    def _once_more(self, say: Say, heard: Heard) -> None:
        """What could not be judged is measured again, each alone on its node; once."""
        waiting = {
            submission.key: submission
            for submission in self.class_
            if unsure(self.results[submission.key]) and AGAIN not in self.results[submission.key].remarks
        }
        while waiting:
            self._deal(waiting, heard, again=True)

    # -- what is in the cluster ----------------------------------------------------------------------

    @property
    def _file(self) -> Path:
        return self.out / "batch.json"

    def _left(self) -> Round | None:
        with suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode(self._file.read_bytes(), type=Round)
        return None

    def _tried(self, key: str) -> Tried:
        return self.tried.setdefault(key, Tried())

    def _shape(self, again: bool) -> manifest.PodShape:
        alone = self.alone or again
        # As on one machine, one a core; two on a small one, because most of a short pod's time is the cluster's, which waits.
        found = room.cpus(self.access)
        fitting = len(found) if alone else sum(max(2, int(cpus)) for cpus in found)
        wanted = self.pods.parallelism or fitting or AT_ONCE
        return manifest.PodShape(
            image=self.pods.image,
            parallelism=wanted,
            alone=alone,
            runtime=room.runtime(self.access, self.pods.runtime),
        )

    def _end(self) -> None:
        """The batch is over: nothing of it stays in the cluster."""
        left = self._left()
        if left is not None and self._entry is not None:
            with suppress(LabError):  # it does not answer: its entry says so to `llmlab clean`
                try:
                    GradingJob(self.access, left.name, self.pods.image).end()
                except ApiRefusal as error:
                    raise trouble.refused(self.access, error) from None
                owned.forget(self._entry)
                self._entry = None
        if self._entry is None:
            self._file.unlink(missing_ok=True)
