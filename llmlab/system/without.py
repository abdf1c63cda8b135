"""What is taken away on purpose: `LLMLAB_WITHOUT=docker,sandbox` makes this machine one that has neither.

Whatever looks a thing up asks here first, so that a machine that has everything can be a bare one: to run the
tests as a newcomer's laptop would, to see what a lab says there. The names are those of `llmlab doctor`.
"""

from __future__ import annotations

import os

from .. import tier
from ..errors import LabError

VARIABLE = "LLMLAB_WITHOUT"
WORDS = f"taken away by {VARIABLE}"
MEND = f"unset {VARIABLE}"


def known() -> tuple[str, ...]:
    """What can be taken away; the doctor knows how each is looked for."""
    return tuple(tier.all_of("needs"))


def names() -> frozenset[str]:
    """All that is taken away here.

    :raises LabError: where the variable names something that is no need.
    """
    said = frozenset(name for name in os.environ.get(VARIABLE, "").replace(" ", "").split(",") if name)
    unknown = sorted(said - set(known()))
    if unknown:
        raise LabError(
            f"{VARIABLE} names no such need: {', '.join(unknown)}.",
            where=f"{VARIABLE}={os.environ[VARIABLE]}",
            fix=f"some of {', '.join(known())}",
        )
    return said


def taken(name: str) -> bool:
    """Whether this one is to be taken for missing, whatever is installed.

    :raises LabError: as `names`.
    """
    return name in names()
