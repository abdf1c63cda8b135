"""Where the Go compiler is."""

from __future__ import annotations

import os
import shutil

#: Where Go's own installers put it, which add nothing to PATH.
USUAL = ("/usr/local/go/bin/go", "/opt/homebrew/bin/go")


def compiler() -> str | None:
    """The one on PATH, else one in its usual place; None: there is no Go."""
    return shutil.which("go") or next((path for path in USUAL if os.access(path, os.X_OK)), None)
