"""`llmlab images`."""

from __future__ import annotations

import argparse

from ...show import terminal


def run(args: argparse.Namespace) -> int:
    """Bring the images of the container labs, or list them.

    :raises LabError: when one can be had neither way.
    """
    from . import images, plugins

    wanted = [
        one for one in images.CATALOGUE if not args.labs or {lab[:2] for lab in args.labs} & set(one.labs)
    ]
    say = (lambda _: None) if args.json else terminal.say
    if not args.list:
        for plugin in plugins.bring():
            say(f"{plugin} plugin: brought into a private configuration")
        for line in images.ensure([one.name for one in wanted], say=say):
            say(line)
    rows = [(one, images.here(one.name)) for one in wanted]
    if args.json:
        terminal.print_json(
            [{"image": one.name, "what": one.what, "labs": one.labs, "here": there} for one, there in rows]
        )
    else:
        table = [("✔" if there else "–", one.name, one.what, ", ".join(one.labs)) for one, there in rows]
        terminal.table("", ("", "image", "what", "labs"), table)
    return 0
