"""A lab's starter files, put back; and the learner's own, put back again."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from ..errors import LabError
from ..system.paths import writing
from . import progress
from .info import LabInfo

NOTES = ("answers.json", "hints.json")  # what a reset forgets besides


def kept(files: Path) -> Path | None:
    """The folder with what the last reset has replaced; None where there is none."""
    return max(progress.work_folder(files).glob("before-reset-*"), default=None)


def undo(files: Path) -> list[str]:
    """Put back what the last reset has replaced, and answers and hints; what is there now is kept too. Returns the names of the files.

    :raises LabError: when no reset has replaced anything.
    """
    folder, work = kept(files), progress.work_folder(files)
    if folder is None:
        raise LabError("There is no reset to undo: no file of yours was replaced.", where=str(work))
    keep = work / f"before-undo-{_stamp()}"
    done: list[str] = []
    with writing(files):
        for source in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = source.relative_to(folder)
            target = (work if name.as_posix() in NOTES else files) / name
            if target.exists() and target.read_bytes() != source.read_bytes():
                _put(target, keep / name)
            _put(source, target)
            done += [] if target.is_relative_to(work) else [name.as_posix()]
        shutil.rmtree(folder)
    return done


def _stamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")


def _put(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def reset(info: LabInfo, files: Path) -> list[str]:
    """Put a lab's starter files back, byte for byte, keeping what was there; also forget answers and hints seen."""
    work = progress.work_folder(files)
    keep = work / f"before-reset-{_stamp()}"
    done: list[str] = []
    with writing(files):
        for name in info.artifacts:
            source, target = info.starter / name, files / name
            if not source.is_file():
                raise LabError(
                    f"The starter's {name} is missing.", where=str(source), fix="git checkout -- solutions"
                )
            if target.exists() and target.read_bytes() != source.read_bytes():
                (keep / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(target, keep / name)
            _put(source, target)
            done.append(name)
        for name in NOTES:
            if (work / name).exists():
                keep.mkdir(parents=True, exist_ok=True)
                (work / name).replace(keep / name)
    return done
