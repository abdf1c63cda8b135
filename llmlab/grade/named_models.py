"""The models that a submission's files name, made before anything is deployed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .. import models
from ..errors import LabError
from ..models.known import NAMES


def bring_models(folder: Path, artifacts: Sequence[str]) -> None:
    """Write the synthetic models that files of `folder` name to the cache, where they are not there yet."""
    for name in artifacts:
        text = (folder / name).read_text(encoding="utf-8", errors="replace")
        for model in NAMES:
            if f'"{model}"' in text or f"'{model}'" in text:
                with suppress(LabError):
                    models.get(model)
