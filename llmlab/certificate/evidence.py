"""What a certificate stands on: the files, records and journal of one submission, read as a grader reads them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..checks import Result
from ..course.info import LabInfo, all_labs
from ..course.journal import Noted
from ..errors import LabError
from ..records import store
from ..records.schema import Record, Table
from ..submissions.submission import Taken, take
from . import points

ENTRIES = 200  # of the journal, the newest; fewer than a grader takes, so that a few that are noted later move none out
PLAN, ANSWERS = "plan.toml", "answers.toml"


@dataclass(frozen=True, slots=True)
class GradersWord:
    """What an instructor's grader said of the same submission."""

    learner: str  # as the class's export names them
    result: Result  # of all checks
    created: str  # when it was graded, ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class HeldFile:
    """One file that was handed in."""

    name: str  # below the lab's folder
    sha256: str  # of its bytes
    record: Record | Table | None = None  # what is in it, of a record


@dataclass(frozen=True, slots=True)
class Certified:
    """All that the page is made of. Nothing in it depends on where or when the page is made."""

    info: LabInfo
    folder: Path  # with the files, while the page is made
    files: Mapping[str, HeldFile]  # by name: artifacts, then records
    progress: HeldFile | None  # the points that were kept last
    journal: tuple[Noted, ...]  # as far as the page was made for the first time
    missing: Mapping[str, str]  # an artifact that was not handed in, and why
    sha256: str  # of all that was taken, as a grader says it
    graded: GradersWord | None = None

    @property
    def date(self) -> str:
        """The day it is of: that of the grader's result, else of the points kept. Never today."""
        when = self.graded.created if self.graded else self._kept()
        return when[:10]

    def _kept(self) -> str:
        return self.progress.record.created if self.progress and self.progress.record else ""

    def newest(self, kind: str) -> HeldFile | None:
        """The newest table of a kind."""
        found = [
            held
            for held in self.files.values()
            if isinstance(held.record, Table) and held.record.kind == kind
        ]
        return max(
            found, key=lambda held: (held.record.created if held.record else "", held.name), default=None
        )


def capstone(course: Path | None = None) -> LabInfo:
    """The lab that a certificate is of: the last one in which a plan and claims are handed in.

    :raises LabError: when the course has none.
    """
    found = [info for info in all_labs(course) if {PLAN, ANSWERS} <= set(info.artifacts)]
    if not found:
        raise LabError("No lab of this course ends with a certificate.", fix=f"one with {PLAN} and {ANSWERS}")
    return found[-1]


def refuse_other(info: LabInfo) -> None:
    """There is a certificate of the capstone alone.

    :raises LabError: another lab.
    """
    if not {PLAN, ANSWERS} <= set(info.artifacts):
        raise LabError(
            f"Lab {info.number} has no certificate.", fix=f"open {capstone(info.folder.parent.parent).name}"
        )


@contextmanager
def certified(
    info: LabInfo, source: Path, graded: GradersWord | None = None, sha256: str = ""
) -> Iterator[Certified]:
    """Take what counts out of a learner's folder, or of what was handed in as a zip or a notebook.

    :param sha256: what a grader took, if it is to be the same.
    :raises LabError: nothing can be read there; no points were kept; or a grader saw something else.
    """
    refuse_other(info)
    with tempfile.TemporaryDirectory(prefix="llmlab-certificate-") as folder:
        taken = take(source, info, Path(folder) / "files")
        if sha256 and taken.sha256 != sha256:
            raise LabError(
                "The result is of another submission.",
                where=f"{taken.sha256[:12]}… is here, {sha256[:12]}… was graded",
                fix="name the submission that was graded, or grade this one",
            )
        found = _read(info, taken, graded)
        if found.progress is None and graded is None:
            raise LabError(
                "No points were kept with these files.",
                fix="lab.certificate() in the lab's notebook keeps them; hand in the whole folder",
            )
        yield found


def _read(info: LabInfo, taken: Taken, graded: GradersWord | None) -> Certified:
    files: dict[str, HeldFile] = {}
    for path in [taken.folder / name for name in taken.artifacts] + sorted(
        (taken.folder / "records").glob("*.json")
    ):
        data, name = path.read_bytes(), path.relative_to(taken.folder).as_posix()
        record = store.loads_any(data, source=name) if name.startswith("records/") else None
        files[name] = HeldFile(name, hashlib.sha256(data).hexdigest(), record)
    kept = [
        held for held in files.values() if isinstance(held.record, Table) and held.record.kind == points.KIND
    ]
    progress = max(
        kept, key=lambda held: (held.record.created if held.record else "", held.name), default=None
    )
    if progress is not None and isinstance(progress.record, Table):  # what was measured later changes no page
        end = progress.record.created
        files = {
            name: held for name, held in files.items() if held.record is None or held.record.created <= end
        }
    return Certified(
        info=info,
        folder=taken.folder,
        files=files,
        progress=progress,
        journal=_until(taken.journal, progress),
        missing=taken.missing,
        sha256=taken.sha256,
        graded=graded,
    )


def _until(journal: tuple[Noted, ...], progress: HeldFile | None) -> tuple[Noted, ...]:
    """The journal up to where the points were kept: what is noted later changes no page."""
    name = progress.name.rpartition("/")[2] if progress else ""
    last = next((place for place, entry in enumerate(journal) if entry.record and entry.record == name), None)
    return (journal if last is None else journal[: last + 1])[-ENTRIES:]
