"""`llmlab certificate`: the page of one's own folder, of a submission, or whether a page is that of one."""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from ..certificate import make
from ..certificate.evidence import GradersWord, capstone
from ..errors import LabError
from ..grade.schema import Graded
from ..show.terminal import print_json, say


def run(args: argparse.Namespace) -> int:
    """Make or verify a page; the exit code.

    :raises LabError: what is missing, or how a page differs.
    """
    if args.graded and not args.source:
        raise LabError("A result belongs to a submission.", where="--graded", fix="--from SUBMISSION as well")
    info = capstone()
    again = None
    if args.source:
        seen, sha256 = _graded(Path(args.graded), info.name) if args.graded else (None, "")
        again = make.made(info, Path(args.source), seen, sha256)
    if args.verify:
        said = make.verify(Path(args.verify), again)
        print_json({"page": args.verify, "says": said}) if args.json else say(said)
        return 0
    if again is None and not args.out:
        from ..lab import Lab

        written = make.of_lab(Lab.here(info.name, submission=info.folder))
    else:
        if again is None:
            again = make.made(info, info.folder)
        written = make.write(again, Path(args.out or make.NAME))
    print_json({"page": str(written.path), "sha256": written.sha256}) if args.json else say(str(written))
    return 0


def _graded(path: Path, lab: str) -> tuple[GradersWord, str]:
    """What a grader said, and of which files."""
    if path.is_dir():
        path = path / "result.json"
    try:
        graded = msgspec.json.decode(path.read_bytes(), type=Graded)
    except (OSError, msgspec.MsgspecError) as error:
        raise LabError(
            f"This is no result: {error}.", where=str(path), fix="--graded GRADES/LEARNER/result.json"
        ) from None
    if graded.lab != lab or graded.result is None:
        what = (
            f"a result of {graded.lab}"
            if graded.lab != lab
            else "the result of a submission that was not graded"
        )
        raise LabError(
            f"This is {what}.", where=str(path), fix=f"llmlab grade {lab} SUBMISSIONS --out GRADES"
        )
    return GradersWord(graded.learner, graded.result, graded.graded), graded.handed.sha256
