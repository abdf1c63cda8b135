"""`llmlab grade`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LabError
from ..show.terminal import print_json

if TYPE_CHECKING:
    from ..course.info import LabInfo
    from ..grade import Grading, Settings

#: The options that say something of a cluster.
ON = ("context", "namespace", "image", "parallelism", "runtime_class")


def run(args: argparse.Namespace) -> int:
    """Grade a class; 1 where a submission ended in the grader's own error.

    :raises LabError: as `llmlab.grade.Grading`.
    """
    from ..course.info import find_lab, read_info
    from ..grade import Settings, summary
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
    with _grading(args, info, out, settings) as it:
        if not args.json:
            many = len(it.class_)
            print(f"Lab {info.number}, {many} submission{'' if many == 1 else 's'}, {it.where}", flush=True)
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


@contextlib.contextmanager
def _grading(args: argparse.Namespace, info: LabInfo, out: Path, settings: Settings) -> Iterator[Grading]:
    """On this machine, or in the cluster that was named."""
    from ..grade import Grading

    submissions = Path(args.submissions)
    if args.on is None:
        given = [name for name in ON if getattr(args, name)]
        if given:
            option = "--" + given[0].replace("_", "-")
            raise LabError(f"{option} is about a cluster.", where=option, fix=f"--on kubernetes {option} …")
        with Grading(info, submissions, out, settings) as it:
            yield it
        return
    from ..grade.pods.access import image_at, open_access
    from ..grade.pods.grading import PodGrading, PodSettings
    from ..grade.pods.room import require_pods
    from ..image.build import NAME

    require_pods(info)
    with contextlib.closing(open_access(args.context, args.namespace)) as access:
        access.say = lambda text: print(text, file=sys.stderr, flush=True)
        pods = PodSettings(
            image=image_at(access, args.image or f"docker.io/{NAME}"),
            named=bool(args.namespace),
            parallelism=args.parallelism,
            runtime=args.runtime_class or "",
        )
        with PodGrading(info, submissions, out, access, pods, settings) as it:
            yield it


def _due(text: str | None) -> Any:
    if text is None:
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise LabError(f"{text!r} is not a time.", where="--due", fix="--due 2026-12-01T23:59") from None
