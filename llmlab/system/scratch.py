"""A folder for a while: gone with whoever asked for it, at the latest with `llmlab clean` (state files hold what they hold)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from . import owned
from .paths import state_dir

KIND = "scratch"


class Scratch:
    """An empty folder below the state folder, registered before anything is put into it."""

    def __init__(self, label: str) -> None:
        base = state_dir() / "scratch"
        base.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=base))
        self._entry = owned.register(KIND, label, folders=[str(self.path)])

    def close(self) -> None:
        """Remove it; may be called twice."""
        shutil.rmtree(self.path, ignore_errors=True)
        owned.forget(self._entry)


def end(data: dict[str, Any]) -> None:
    """Remove what one left behind that nobody closed."""
    for name in data["folders"]:
        shutil.rmtree(name, ignore_errors=True)


owned.ENDERS[KIND] = end
