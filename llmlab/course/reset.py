"""A lab's starter files, put back."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from ..errors import LabError
from . import progress
from .info import LabInfo


def reset(info: LabInfo, files: Path) -> list[str]:
    """Put a lab's starter files back, byte for byte, keeping what was there; also forget answers and hints seen."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    work = progress.work_folder(files)
    keep = work / f"before-reset-{stamp}"
    done = []
    for name in info.artifacts:
        source, target = info.starter / name, files / name
        if not source.is_file():
            raise LabError(
                f"The starter's {name} is missing.", where=str(source), fix="git checkout -- solutions"
            )
        if target.exists() and target.read_bytes() != source.read_bytes():
            (keep / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(target, keep / name)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        shutil.copyfile(source, temporary)
        temporary.replace(target)
        done.append(name)
    for name in ("answers.json", "hints.json"):
        if (work / name).exists():
            keep.mkdir(parents=True, exist_ok=True)
            (work / name).replace(keep / name)
    return done
