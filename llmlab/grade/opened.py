"""One submission opened for grading: what was taken of it, what its inputs are drawn from, and how a result of it begins."""

from __future__ import annotations

import hashlib
import hmac
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import __version__
from ..checks.parts import files_of
from ..course.info import LabInfo
from ..errors import LabError
from ..submissions.handed_in import Submission
from ..submissions.submission import Taken, take
from .rules import Rules
from .schema import Graded, Handed


@dataclass(frozen=True, slots=True)
class Opened:
    """One submission of which something can be graded."""

    lab: str  # NN-slug
    submission: Submission  # as it was handed in
    taken: Taken  # its files lie in a folder of their own until it is closed
    handed: Handed  # the same in the result's words
    seeds: Mapping[str, int]  # purpose → what its inputs are drawn from
    fingerprint: str  # the same when it would be graded in the same way again
    remarks: list[str]  # on what was handed in
    began: float  # by the monotonic clock

    @property
    def key(self) -> str:
        """The learner's, in the class."""
        return self.submission.key

    def told(self, status: str, **more: Any) -> Graded:
        """A result of it."""
        return _result(
            self.lab, self.submission, self.seeds, self.began, status=status, handed=self.handed, **more
        )


@contextmanager
def opened(
    info: LabInfo, submission: Submission, *, secret: bytes, rules: Rules, root: Path | None = None
) -> Iterator[Opened | Graded]:
    """Take a submission apart; where nothing of it can be graded, its result: refused, or an error of ours.

    :param root: paths in the result are told from here.
    """
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
    unread = Handed(path=where, kind=kind, sha256="")

    def none(status: str, reason: str, remarks: list[str]) -> Graded:
        return _result(
            info.name, submission, seeds, began, status=status, handed=unread, reason=reason, remarks=remarks
        )

    with tempfile.TemporaryDirectory(prefix="llmlab-taken-") as folder:
        try:
            taken = take(submission.source, info, Path(folder) / "files")
        except LabError as error:
            yield none("refused", _said(error), list(submission.remarks))
            return
        except Exception:  # nothing that is handed in may stop the others
            yield none("error", traceback.format_exc(limit=-4), list(submission.remarks))
            return
        remarks = [*submission.remarks, *taken.remarks]
        if _nothing(taken):
            files = ", ".join(taken.missing)
            reason = f"Nothing of this lab was handed in: no notebook with a cell of it, and no {files}."
            yield none("refused", reason, remarks)
            return
        late = ["The platform that it was handed in on marks it as late."] if submission.late_mark else []
        yield Opened(
            lab=info.name,
            submission=submission,
            taken=taken,
            handed=Handed(
                path=where,
                kind=kind,
                sha256=taken.sha256,
                submitted=taken.submitted.isoformat(timespec="seconds") if taken.submitted else None,
                artifacts=list(taken.artifacts),
                answer_cells=list(taken.cells),
            ),
            seeds=seeds,
            fingerprint=fingerprint(info, taken, seeds, rules),
            remarks=[*late, *remarks],
            began=began,
        )


def _result(
    lab: str,
    submission: Submission,
    seeds: Mapping[str, int],
    began: float,
    *,
    status: str,
    handed: Handed,
    **more: Any,
) -> Graded:
    return Graded(
        lab=lab,
        learner=submission.learner,
        key=submission.key,
        status=status,
        handed=handed,
        seeds=dict(seeds),
        graded=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
        **more,
    )


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


def _nothing(taken: Taken) -> bool:
    """Whether there is neither a notebook nor a file of the lab, under whatever name, that could be graded."""
    absent = all(why == "was not handed in" for why in taken.missing.values())
    return bool(taken.missing) and absent and not taken.artifacts and taken.notebook is None


def _said(error: LabError) -> str:
    """For the learner: without the path it has on the grader's machine."""
    return " ".join(filter(None, [error.what, f"Please {error.fix}." if error.fix else ""]))
