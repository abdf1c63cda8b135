"""`llmlab image build|show`."""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from ..errors import LabError
from ..show.terminal import print_json, progress


def run(args: argparse.Namespace) -> int:
    """Build the image, or say what an archive holds; 1 where it is not that of the course here.

    :raises LabError: with what went wrong and the command that mends it.
    """
    return {"build": _build, "show": _show}[args.what](args)


def _build(args: argparse.Namespace) -> int:
    from ..image.build import NAME, build

    if not args.to:
        raise LabError("Where should the image go?", fix="llmlab image build --to course.tar")
    began = time.monotonic()

    def say(text: str) -> None:
        if not args.json:
            progress(f"{time.monotonic() - began:6.1f} s  {text}")

    into = Path(args.to)
    image = build(into, name=args.tag or NAME, base=args.base, builder=args.builder, say=say)
    if args.json:
        print_json(asdict(image) | {"archive": str(into.resolve())})
        return 0
    print(f"{image.names[0] if image.names else image.id}: {into.stat().st_size / 2**20:.0f} MiB in {into}")
    print(f"into Docker:      docker load -i {into}")
    print(f"into a registry:  skopeo copy docker-archive:{into} docker://REGISTRY/NAME:TAG")
    return 0


def _show(args: argparse.Namespace) -> int:
    from ..image import archive, contents

    if not args.archive:
        mine = contents.fingerprint()
        print_json({"fingerprint": mine}) if args.json else print(mine)
        return 0
    image = archive.read(Path(args.archive))
    trouble = image.trouble()
    if args.json:
        print_json(asdict(image) | {"trouble": trouble})
    else:
        print(
            f"{', '.join(image.names) or 'no name'} ({image.architecture}, {image.layers} layers, {image.id[:19]}…)"
        )
        print(f"course {image.version}, {image.fingerprint[:19]}…")
        print(
            f"✘ {trouble}\n  fix:   llmlab image build --to {args.archive}"
            if trouble
            else "✔ the course that is here"
        )
    return 1 if trouble else 0
