"""`llmlab grade`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..errors import LabError
from ..show.terminal import print_json


def run(args: argparse.Namespace) -> int:
    """Grade a class; 1 where a submission ended in the grader's own error.

    :raises LabError: as `llmlab.grade.Grading`.
    """
    from pathlib import Path

    from ..course.info import find_lab, read_info
    from ..grade import Grading, Settings, summary
    from ..grade.sandbox import kind
    from ..grade.show import board
    from ..submissions.text import printable

    folder = Path(args.lab)
    info = read_info(folder.resolve()) if (folder / "lab.toml").is_file() else find_lab(args.lab)
    settings = Settings(
        jobs=args.jobs,
        due=_due(args.due),
        released=args.after_deadline,
        regrade=frozenset(args.regrade),
        secret=Path(args.secret) if args.secret else None,
    )
    out = Path(args.out)
    with Grading(info, Path(args.submissions), out, settings) as it:
        if not args.json:
            many = len(it.class_)
            print(
                f"Lab {info.number}, {many} submission{'' if many == 1 else 's'}, "
                f"{it.jobs} at a time, each in a sandbox ({kind(info)})",
                flush=True,
            )
        if it.wrapped:
            print(printable(it.wrapped), file=sys.stderr if args.json else sys.stdout, flush=True)
        with board(len(it.class_), quiet=args.json) as shown:
            try:
                rows = it.run(say=shown.say, heard=shown.heard)
            except KeyboardInterrupt:
                kept = f"{len(it.results)} of {len(it.class_)} are graded and kept in {out}"
                raise LabError(f"Interrupted: {kept}.", fix="the same command goes on from there") from None
    if args.json:
        import msgspec

        print_json([msgspec.to_builtins(graded) | {"score": score.score} for graded, score in rows])
    else:
        for line in summary(rows):
            print(line)
        print(f"gradebook: {out / 'gradebook.csv'}; points and comments of your own: {out / 'manual.toml'}")
    return 1 if any(graded.status == "error" for graded, _ in rows) else 0


def _due(text: str | None) -> Any:
    if text is None:
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise LabError(f"{text!r} is not a time.", where="--due", fix="--due 2026-12-01T23:59") from None
