"""Archives unpacked with Python's own filters, where it has them."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path
from typing import Literal

from ..errors import Unavailable


def unpack(
    archive: tarfile.TarFile,
    into: str | Path,
    *,
    kind: Literal["data", "tar"] = "data",
    numeric_owner: bool = False,
    known: bool = True,
) -> None:
    """All of an archive, through `tarfile`'s filter of this kind.

    Python has filters since 3.11.4, and Debian 12's is 3.11.2: there the archive is taken as it is.

    :param known: it is one of ours, pinned by its hash; others are not unpacked without a filter.
    :raises Unavailable: for one that is not known, where Python has no filters.
    """
    if hasattr(tarfile, "data_filter"):
        archive.extractall(into, filter=kind, numeric_owner=numeric_owner)
    elif known:
        archive.extractall(into, numeric_owner=numeric_owner)
    else:
        raise Unavailable(
            f"Python {sys.version.split()[0]} cannot unpack an archive of somebody else's safely (it has no tarfile filters).",
            fix="uv python install 3.12, and again",
        )
