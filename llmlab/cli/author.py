"""`llmlab author build|new`."""

from __future__ import annotations

import argparse
from typing import Any

from ..show.terminal import say


def run(args: argparse.Namespace) -> int:
    """Build notebooks, or say what differs; or make a lab.

    :raises LabError: as `llmlab.authoring`.
    """
    from .. import authoring
    from ..authoring import readme
    from ..system.paths import course_dir

    if args.what == "new":
        return _new(args)
    course = course_dir()
    if args.check:
        drift: list[Any] = list(authoring.check(course, args.labs or None))
        if readme.drifted(course):
            drift.append("README.md: its table is not what the lab.toml files say")
        for difference in drift:
            print(f"✘ {difference}")
        print("no drift" if not drift else "mend it: llmlab author build")
        return 1 if drift else 0
    for path in authoring.build(course, args.labs or None, say=say):
        print(path)
    readme.write(course)
    return 0


def _new(args: argparse.Namespace) -> int:
    from pathlib import Path

    from .. import authoring
    from ..authoring import readme

    course = authoring.course_for(Path(args.into) if args.into else None)
    for path in authoring.new(args.name, course, title=args.title):
        print(path.relative_to(course))
    readme.write(course)
    return 0
