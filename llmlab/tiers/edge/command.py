"""`llmlab regions`: the programs of the regions, and of the edge in front of them."""

from __future__ import annotations

import argparse

from ...show.terminal import say


def run(args: argparse.Namespace) -> int:
    """Bring them, and say where they are.

    :raises LabError: when one can neither be fetched nor built.
    """
    import shlex

    from ..regions import programs
    from . import workerd

    found = programs.bring(say)
    for line in (found.pdns, found.haproxy, found.toxiproxy):
        say(shlex.join(line))
    say(str(workerd.bring(say)))
    return 0
