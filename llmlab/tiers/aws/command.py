"""`llmlab terraform`."""

from __future__ import annotations

import argparse

from ...show.terminal import say


def run(args: argparse.Namespace) -> int:
    """Bring the AWS provider.

    :raises LabError: when it cannot be fetched.
    """
    from . import mirror

    place = mirror.bring(say)
    say(f"{mirror.program()} with the AWS provider {mirror.VERSION} from {place}")
    return 0
