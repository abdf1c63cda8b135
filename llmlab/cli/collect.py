"""`llmlab collect`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from ..course.info import find_lab
from ..errors import LabError
from ..show.terminal import print_json, progress


def run(args: argparse.Namespace) -> int:
    """Collect a class's work from a hub; 1 where something of somebody could not be read.

    :raises LabError: with what went wrong and the command that mends it.
    """
    from ..hub import homes

    info, out = find_lab(args.lab), Path(args.out)
    if bool(args.homes) == bool(args.context):
        raise LabError(
            "Where are the learners' homes: folders of this machine, or volumes of a cluster?",
            fix="--homes '/home/jupyter-*/llmlab', or --context NAME --namespace hub --image IMAGE",
        )
    if args.homes:
        done = homes.collect(info, homes.matching(args.homes), out)
    else:
        from ..hub import claims
        from ..tiers.kubernetes.programs import binaries

        if not args.image:
            raise LabError(
                "Volumes are read by pods of the course's image.", fix="--image, as in the hub's values.yaml"
            )
        kubectl = str(binaries.find("kubectl") or "kubectl")
        hub = claims.HubVolumes(args.context, args.namespace, args.image, kubectl)
        done = claims.collect(info, hub, out, say=(lambda _: None) if args.json else progress)
    if args.json:
        print_json([asdict(learner) for learner in done])
    else:
        for learner in done:
            for remark in learner.remarks:
                print(f"{learner.learner}: {remark}")
        wrote = [learner for learner in done if learner.files]
        without = [learner.learner for learner in done if not learner.files]
        print(f"{len(wrote)} of {len(done)} learners have something of {info.name}, now in {out}")
        if without:
            print(f"without: {', '.join(without)}")
        print(f"next: llmlab grade {info.number} {out} --out grades")
    return 1 if any(learner.remarks for learner in done) else 0
