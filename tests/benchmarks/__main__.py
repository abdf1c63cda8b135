"""`uv run python -m tests.benchmarks [--quick] [clients|ceiling|startup|grading|flips|images|regions|cluster|proof|capacity|fleet|peers|gpu ...]`: printed, not asserted.

Every number is a median with its range over alternating rounds. About five minutes on two cores; --quick, one. Where
`aiperf` is on PATH, or LLMLAB_AIPERF names it, it takes part: three minutes more; --quick, one. So do `nbgrader` and
`otter` (LLMLAB_NBGRADER, LLMLAB_OTTER) in `grading`, which then takes ten minutes; --quick, two. `flips` takes an hour or
two (--quick, ten minutes), so it runs only where it is named; so do `images` (docker; --quick leaves out the build from source)
and `regions` (six minutes; --quick, two), `cluster` (root; three minutes; --quick, one) and `proof` (where the time of the tests goes: as long as they take; --workers N
side by side, words for pytest after `--`), and `capacity` (the simulator beside SimPy and Ciw: 5 million requests take ten minutes
and 5 GB; --quick, or `--requests 200000`, a minute), and `fleet` (the simulator beside real servers, 1, 2 and 3 of them: half an
hour; --quick, five minutes; `--seconds 240 --repeats 3`, `--keep FOLDER` for its records). `clients --streams 8,64,512` (a C compiler; four minutes; --quick, two) measures the client on a stand-in that
streams at a set rate, beside aiohttp, an earlier build and the least that C can cost, and where one process of it ends. `--write` keeps their outcomes in data/.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from time import perf_counter

import psutil

from llmlab import machine

from .capacity import capacity
from .ceiling import ceiling
from .cluster import cluster
from .fleet import fleet
from .flips import flips
from .gpu import FULL, QUICK, gpu
from .grading import grading
from .images import images
from .peers import peers
from .pods import in_pods, simulated
from .proof import proof
from .race import race
from .regions import regions
from .startup import startup
from .streams import limits, streams

USUAL = ("clients", "ceiling", "startup", "grading")


def main() -> None:
    """Run what was asked for and print it as it comes."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument(
        "what",
        nargs="*",
        choices=[
            *USUAL,
            "flips",
            "images",
            "regions",
            "cluster",
            "proof",
            "capacity",
            "fleet",
            "peers",
            "gpu",
            [],
        ],
        default=[],
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller loads, about a minute")
    parser.add_argument("--write", action="store_true", help="with flips, images: keep the outcome in data/")
    parser.add_argument("--cpu", action="store_true", help="with gpu: on the CPU, to try it")
    parser.add_argument("--workers", type=int, default=0, help="with proof: tests side by side")
    parser.add_argument("--requests", type=int, default=0, help="with capacity: simulated requests")
    parser.add_argument(
        "--seconds", type=float, default=0, help="with fleet: of the load, at each number of servers"
    )
    parser.add_argument(
        "--repeats", type=int, default=0, help="with fleet: replays, at each number of servers"
    )
    parser.add_argument(
        "--streams",
        type=lambda said: [int(count) for count in said.split(",")],
        help="with clients: on a stand-in that streams at a set rate instead, at these numbers of streams",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="with fleet: a folder for its records; with gpu: likewise; with peers: for environments",
    )
    parser.add_argument("--on", choices=["kubernetes"], help="with grading: in pods, beside this machine")
    parser.add_argument("--context", default="", help="with --on: the cluster that `llmlab cluster up` holds")
    parser.add_argument("--image", default="", help="with --on: the course's image, or an archive of it")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs="*",
        default=[100, 1000, 10_000],
        help="with --on: classes on simulated nodes",
    )
    words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else []
    asked = parser.parse_args(sys.argv[1 : -len(words) - 1] if "--" in sys.argv else None)
    quick = asked.quick
    parts = {
        "clients": lambda: (
            [
                *streams(3 if quick else 5, asked.streams),
                *limits([30_000, 50_000] if quick else [20_000, 30_000, 40_000, 50_000, 60_000, 80_000]),
            ]
            if asked.streams
            else race(3 if quick else 5, 32 if quick else 96)
        ),
        "ceiling": lambda: ceiling(1 if quick else 3, ["20m"] if quick else ["20m", "200m"]),
        "startup": lambda: startup(3 if quick else 7),
        "grading": lambda: (
            [
                *in_pods(1 if quick else 3, asked.context, asked.image),
                *simulated(asked.sizes[:1] if quick else asked.sizes),
            ]
            if asked.on
            else grading(1, 4, 2)
            if quick
            else grading(3, 12, 2)
        ),
        "images": lambda: images(1 if quick else 5, source=not quick, keep=asked.write),
        "regions": lambda: regions(1 if quick else 3),
        "proof": lambda: proof(words, workers=asked.workers),
        "capacity": lambda: capacity(asked.requests or (200_000 if quick else 5_000_000)),
        "cluster": lambda: cluster(1 if quick else 3),
        "fleet": lambda: fleet(
            asked.seconds or (80 if quick else 240), asked.repeats or (1 if quick else 3), asked.keep
        ),
        "peers": lambda: peers(1 if quick else 3, 32 if quick else 128, asked.keep, write=asked.write),
        "gpu": lambda: gpu(
            QUICK if quick else FULL, asked.keep, device="cpu" if asked.cpu else "cuda", write=asked.write
        ),
        "flips": lambda: flips(3 if quick else 20, write=asked.write),
    }
    began = perf_counter()
    print(machine.describe().line, "| load average", *(f"{x:.1f}" for x in os.getloadavg()), flush=True)
    for name in asked.what or USUAL:
        before, since = psutil.cpu_times(), perf_counter()
        for line in parts[name]():
            print(line, flush=True)
        after = psutil.cpu_times()
        idle = (after.idle - before.idle) / ((perf_counter() - since) * (os.cpu_count() or 1))
        print(f"  [{perf_counter() - since:.0f} s, the machine was idle {idle:.0%} of it]", flush=True)
    print(f"in all {perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
