"""Make the page from a learner's folder or from a submission, and hold one that is there against it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..course.info import LabInfo
from ..errors import LabError
from ..show.bench import Bench
from ..system.paths import replace_file, writing
from .evidence import GradersWord, certified, refuse_other
from .page import digest, page, said_digest
from .points import keep_points

NAME = "certificate.html"


@dataclass(frozen=True, slots=True)
class Written:
    """A page that was written."""

    path: Path  # the file
    sha256: str  # of its bytes

    def __repr__(self) -> str:
        return (
            f"{self.path.name}: open it and print it, one file, A4. SHA-256 {self.sha256[:12]}…\n"
            f"hand it in with the whole folder: llmlab certificate --from FOLDER --verify {self.path.name}"
        )


def of_lab(bench: Bench) -> Written:
    """Keep the points of all labs as a record, and write the page beside the lab's files.

    :raises LabError: another lab than the capstone; it cannot be written.
    """
    refuse_other(bench.info)
    keep_points(bench)
    return write(made(bench.info, bench.files), bench.files / NAME)


def made(info: LabInfo, source: Path, graded: GradersWord | None = None, sha256: str = "") -> str:
    """The page of a submission; errors as in `certified`."""
    with certified(info, source, graded, sha256) as found:
        return page(found)


def write(text: str, path: Path) -> Written:
    """Write it whole or not at all.

    :raises LabError: when the folder cannot be written to.
    """
    data = text.encode("utf-8", "backslashreplace")
    with writing(path.parent):
        replace_file(path, data)
    return Written(path, hashlib.sha256(data).hexdigest())


def verify(path: Path, again: str | None = None) -> str:
    """What can be said for a page, in a sentence.

    :param again: the page as it is made from the submission; None: only whether it is as it was written.
    :raises LabError: it was changed, or it is of something else.
    """
    try:
        text = path.read_bytes().decode("utf-8", "replace")
    except OSError as error:
        raise LabError(f"{path.name} cannot be read: {error.strerror}.", where=str(path)) from None
    said = said_digest(text)
    if said is None or digest(text) != said:
        raise LabError(
            f"{path.name} was changed after it was made: its SHA-256 is another.",
            where=str(path),
            fix="make it again from the submission: llmlab certificate --from SUBMISSION --out PAGE.html",
        )
    if again is None:
        return f"{path.name} is whole. Whether it is of these files, only --from SUBMISSION tells."
    if text != again:
        raise LabError(
            f"{path.name} is not the page of this submission.",
            where=f"SHA-256 {said[:12]}… is there, {digest(again)[:12]}… is made from the submission",
            fix="compare the two: llmlab certificate --from SUBMISSION --out PAGE.html (with --graded, if the page was "
            "made with it, and with the llmlab that the page names)",
        )
    return f"{path.name} is the page of this submission, byte for byte."
