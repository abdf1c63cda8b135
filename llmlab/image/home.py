"""The course in a learner's home: where the image's own cannot be written to, each gets a copy. `python -m llmlab.image.home FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from ..course.info import all_labs
from ..errors import LabError
from ..system.paths import writing
from . import contents

#: What of the course a learner opens; the package itself stays in the image.
_OPENED = ("LICENSE", "README.md", "data", "labs", "solutions")


def lay_out(course: Path, mine: Path) -> list[Path]:
    """Copy the course to a folder: all of it the first time, and after that what a newer course has changed.

    What a learner edits (artifacts, notebooks) is copied only where it is missing; nothing is ever removed.

    :return: the files that were written, relative to the folder.
    :raises LabError: when the folder cannot be written to.
    """
    own = {
        lab.folder.relative_to(course) / name
        for lab in all_labs(course)
        for name in (*lab.artifacts, f"{lab.name}.ipynb")
    }
    written = []
    with writing(mine):
        for path in contents.files(course):
            source, target = course / path, mine / path
            if path.parts[0] not in _OPENED or (path in own and target.exists()):
                continue
            if target.exists() and target.read_bytes() == source.read_bytes():
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)  # not its mode: it may be read-only in the image
            target.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
            written.append(path)
    return written


if __name__ == "__main__":
    try:
        lay_out(Path(__file__).resolve().parents[2], Path(sys.argv[1]))
    except LabError as error:
        sys.exit(f"✘ {error}")
