"""The `llmlab` command: verbs only; each imports what it needs when it runs.

Exit codes: 0 done; 1 a check failed, a need is missing, or the error printed; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from .. import __version__
from ..errors import LabError
from ..show.terminal import print_json, say, table
from .support import note_error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llmlab",
        description="Hands-on labs on deploying LLM servers. Without a verb: set up, measure a first server, open the course.",
        epilog="examples:  llmlab   ·   llmlab check 01   ·   llmlab hint 01 context-per-slot   ·   llmlab clean --list",
    )
    parser.add_argument("--version", action="version", version=f"llmlab {__version__}")
    parser.add_argument(
        "--no-browser", action="store_true", help="print the course's address instead of opening a browser"
    )
    parser.add_argument("--no-lab", action="store_true", help="stop after first light and the doctor's table")
    parser.add_argument("--port", type=int, default=0, help="port for JupyterLab (default: a free one)")
    verbs = parser.add_subparsers(dest="verb", metavar="verb")

    def verb(name: str, help: str, *, as_json: bool = True) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=help, description=help)
        if as_json:
            command.add_argument("--json", action="store_true", help="print JSON, for programs")
        return command

    verb("doctor", "what this machine can run, what is missing, and the command that brings it")
    command = verb(
        "support", "write one file for whoever helps you: versions, needs, the last error; no keys, no names"
    )
    command.add_argument("--out", help="where (default: llmlab-support.json in this folder)")
    verb("labs", "the labs with their minutes, needs and your progress")
    command = verb("check", "deploy your files for a lab afresh and probe what runs")
    command.add_argument("lab", help="number or name, e.g. 01")
    command.add_argument("check", nargs="*", help="only these checks")
    command.add_argument("--files", help="another folder with the lab's files")
    command.add_argument("--seed", type=int, default=0, help="what randomised inputs are drawn from")
    command = verb("hint", "the next hint for a check", as_json=False)
    command.add_argument("lab", help="number or name, e.g. 01")
    command.add_argument("check", nargs="?", help="default: the first one that failed last time")
    command = verb("reset", "put a lab's starter files back (yours are kept beside them)")
    command.add_argument("lab", help="number or name, e.g. 01")
    command = verb(
        "grade", "grade what a class handed in: a result and a feedback page each, and a gradebook"
    )
    command.add_argument("lab", help="number or name, e.g. 01, or a lab's own folder")
    command.add_argument(
        "submissions", help="a folder with a folder, zip or notebook of each learner; or a single one"
    )
    command.add_argument("--out", required=True, help="where the results go; run again, it resumes there")
    command.add_argument(
        "--jobs", type=int, default=0, help="submissions at work at once (default: one a core)"
    )
    command.add_argument(
        "--due", help="the deadline, e.g. 2026-12-01T23:59 (your time zone); kept for later runs"
    )
    command.add_argument(
        "--after-deadline", action="store_true", help="feedback may say what the hidden inputs were"
    )
    command.add_argument(
        "--regrade", nargs="+", default=[], metavar="LEARNER", help="grade these again, whatever is there"
    )
    command.add_argument(
        "--secret", help="a file with the secret that inputs are drawn from (default: OUT/secret.key)"
    )
    command.add_argument(
        "--on",
        choices=["kubernetes"],
        help="grade in the pods of a cluster instead of on this machine: a Job a batch, a pod a submission",
    )
    command.add_argument(
        "--context", help="with --on: which cluster, as `kubectl config get-contexts` names it"
    )
    command.add_argument(
        "--namespace", help="with --on: one that is there (default: llmlab-grading, made and removed)"
    )
    command.add_argument(
        "--image",
        help="with --on: the course's image, where the cluster's nodes find it; for `llmlab cluster up` also an archive",
    )
    command.add_argument(
        "--parallelism",
        type=int,
        default=0,
        help="with --on: pods at once (default: one a core of the nodes; one a node where a lab measures)",
    )
    command.add_argument(
        "--runtime-class",
        help="with --on: a RuntimeClass whose pods have no network, where no NetworkPolicy is enforced",
    )
    command = verb("collect", "collect what a class wrote on a hub, into the folder that `grade` takes")
    command.add_argument("lab", help="number or name, e.g. 01")
    command.add_argument("--out", required=True, help="a folder; what is in it of a learner is replaced")
    command.add_argument(
        "--homes",
        metavar="PATTERN",
        help="on one machine: where a learner's course lies, * for the name, e.g. '/home/jupyter-*/llmlab'",
    )
    command.add_argument("--context", help="on Kubernetes: which of your kubeconfig's clusters")
    command.add_argument("--namespace", default="hub", help="and the hub's namespace there (default: hub)")
    command.add_argument("--image", help="and the course's image, as the hub has it")
    command = verb(
        "certificate",
        "the capstone's page with your own figures: make it, make it again from a submission, or verify one",
    )
    command.add_argument(
        "--from",
        dest="source",
        metavar="SUBMISSION",
        help="a folder, zip or notebook that was handed in (default: your own)",
    )
    command.add_argument(
        "--graded",
        metavar="RESULT",
        help="with --from: the result.json that `llmlab grade` made of it; points are then the grader's",
    )
    command.add_argument(
        "--out", metavar="PAGE", help="where (default: certificate.html, your own beside the lab's files)"
    )
    command.add_argument(
        "--verify",
        metavar="PAGE",
        help="write nothing: say whether this page is whole and, with --from, that submission's",
    )
    command = verb("engine", "where the llama-server comes from; `engine build` makes a native one")
    command.add_argument(
        "what", nargs="?", choices=["build"], help="build a native llama-server into the cache"
    )
    command.add_argument("--cuda", action="store_true", help="with build: for NVIDIA GPUs")
    command = verb("models", "the models; `models fetch NAME` makes or downloads some")
    command.add_argument(
        "what", nargs="?", choices=["fetch"], help="make or download models (default: list what there is)"
    )
    command.add_argument("names", nargs="*", metavar="name", help="with fetch: which (default: tiny and 20m)")
    command.add_argument(
        "--accept-licence", action="store_true", help="you have read the model's licence and accept it"
    )
    command = verb("fetch", "bring what labs need beforehand: an engine, models, images, programs")
    command.add_argument(
        "names", nargs="*", metavar="name", help="a need of the doctor's, a lab, e.g. 04, or `all`"
    )
    command.add_argument(
        "--list", action="store_true", help="only list what can be brought, and what is here"
    )
    command = verb("cluster", "a Kubernetes cluster of your own: `up`, `status`, `down`")
    command.add_argument(
        "what", choices=["up", "status", "down"], help="bring one up, say how it is, or take it down"
    )
    command.add_argument(
        "--driver",
        choices=["local", "kind", "simulated", "context"],
        help="default: the best that this machine can run",
    )
    command.add_argument("--nodes", type=int, help="kind and simulated: how many (default 1 and 3)")
    command.add_argument(
        "--dry-run", action="store_true", help="up: print the commands that would be run, and run none"
    )
    command.add_argument("--context", default="", help="context: which of your kubeconfig's clusters")
    command.add_argument("--namespace", default="", help="context: a namespace that is not there yet")
    command = verb(
        "image", "the image of the course, for a hub, Binder and grading on Kubernetes: `build`, `show`"
    )
    command.add_argument(
        "what", choices=["build", "show"], help="build it into an archive, or say what an archive holds"
    )
    command.add_argument(
        "archive", nargs="?", help="with show: the archive (default: the fingerprint of the course here)"
    )
    command.add_argument("--to", metavar="ARCHIVE", help="with build: the file to write, e.g. course.tar")
    command.add_argument(
        "--tag", metavar="NAME:TAG", help="with build: the image's name, e.g. REGISTRY/llmlab:1"
    )
    command.add_argument(
        "--base", help="with build: another base than the pinned one, a name or a tar file of a Debian 13"
    )
    command.add_argument(
        "--builder", choices=["docker", "buildah"], help="with build: default Docker, else buildah"
    )
    command = verb("clean", "end what llmlab started and nobody uses any more")
    command.add_argument("--list", action="store_true", help="only list")
    command.add_argument("--all", action="store_true", help="also what a running notebook still owns")
    command = verb(
        "author", "for authors and instructors: a lab of your own, and its notebooks", as_json=False
    )
    acts = command.add_subparsers(dest="what", required=True, metavar="what")
    act = acts.add_parser("build", help="build both notebooks of each lab from its source")
    act.add_argument("labs", nargs="*", metavar="lab", help="default: all")
    act.add_argument("--check", action="store_true", help="write nothing; fail on drift")
    act = acts.add_parser("new", help="make a small lab that works, to be changed into one of your own")
    act.add_argument("name", metavar="NN-slug", help="e.g. 20-short-replies")
    act.add_argument("--title", help="default: the slug in words")
    act.add_argument(
        "--into",
        metavar="COURSE",
        help="the course's folder, also a new one (default: the course you are in)",
    )
    return parser


#: Verbs with a module of their own here; those of a tier are named by it.
_HERE = {
    "doctor": "llmlab.cli.doctor:run",
    "fetch": "llmlab.cli.fetch:run",
    "grade": "llmlab.cli.grade:run",
    "author": "llmlab.cli.author:run",
    "certificate": "llmlab.cli.certificate:run",
    "collect": "llmlab.cli.collect:run",
    "image": "llmlab.cli.image:run",
    "support": "llmlab.cli.support:run",
}


def _run(args: argparse.Namespace) -> int:
    from .. import tier

    verbs = _HERE | tier.all_of("verbs")
    return int((tier.load(verbs[args.verb]) if args.verb in verbs else globals()[f"_{args.verb}"])(args))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.verb is None:
            from .frontdoor import open_course

            return open_course(browser=not args.no_browser, port=args.port, lab=not args.no_lab)
        return _run(args)
    except LabError as error:
        note_error(error, args.verb)
        if getattr(args, "json", False):
            print(
                json.dumps(
                    {"error": error.what, "where": error.where, "fix": error.fix, "without": error.without}
                )
            )
        else:
            print(f"✘ {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        note_error(error, args.verb)
        raise


def _labs(args: argparse.Namespace) -> int:
    from ..course.info import all_labs
    from ..course.progress import standing

    labs = all_labs()
    if args.json:
        print_json(
            [
                {
                    "lab": lab.number,
                    "name": lab.name,
                    "title": lab.title,
                    "minutes": lab.minutes,
                    "needs": lab.needs,
                    "points": lab.points,
                    "progress": standing(lab),
                }
                for lab in labs
            ]
        )
    else:
        rows = [
            (lab.number, lab.title, str(lab.minutes), ", ".join(lab.needs), standing(lab)) for lab in labs
        ]
        table("", ["lab", "title", "minutes", "needs", "progress"], rows)
    return 0


def _check(args: argparse.Namespace) -> int:
    import msgspec

    from ..course.info import find_lab
    from ..lab import Lab

    info = find_lab(args.lab)
    lab = Lab.here(info.name, submission=args.files or info.folder, seed=args.seed)
    result = lab.check(*args.check, quiet=args.json or not sys.stdout.isatty())
    if args.json:
        print_json(msgspec.to_builtins(result.result) | {"passed": result.passed, "failing": result.failing})
    else:
        print(result)
    return 0 if result.passed else 1


def _hint(args: argparse.Namespace) -> int:
    from ..course.info import find_lab
    from ..lab import Lab

    info = find_lab(args.lab)
    hint = Lab.here(info.name, submission=info.folder).hint(args.check)
    print(f"{hint.check}\n{hint}")
    return 0


def _reset(args: argparse.Namespace) -> int:
    from ..course.info import find_lab
    from ..course.reset import reset

    info = find_lab(args.lab)
    names = reset(info, info.folder)
    if args.json:
        print_json({"lab": info.name, "reset": names})
    else:
        print(
            f"{', '.join(names) or 'nothing to reset'} in {info.folder}; what was there is kept in .llmlab/"
        )
    return 0


def _engine(args: argparse.Namespace) -> int:
    from .. import doctor, engine
    from .doctor import show_cuda

    if args.what == "build":
        from .frontdoor import build_engine

        return build_engine(cuda=args.cuda, as_json=args.json)
    rungs = engine.candidates()
    chosen = engine.find()
    seen = doctor.cuda()
    if args.json:
        print_json(
            {
                "chosen": {
                    "kind": chosen.kind,
                    "version": chosen.version,
                    "argv": chosen.argv,
                    "capabilities": sorted(chosen.capabilities),
                },
                "candidates": [
                    {"kind": rung.kind, "found": rung.engine is not None, "detail": rung.detail}
                    for rung in rungs
                ],
                "cuda": seen,
            }
        )
        return 0
    rows = [
        ("→" if rung.engine and rung.engine.argv == chosen.argv else "", rung.kind, rung.detail)
        for rung in rungs
    ]
    table("", ["", "from", "found"], rows)
    print(f"in use: {chosen.line()}")
    show_cuda(seen)
    return 0


def _models(args: argparse.Namespace) -> int:
    from .. import models

    if args.what == "fetch":
        for name in args.names or ["tiny", "20m"]:
            model = models.fetch(name, say=None if args.json else say, accept_licence=args.accept_licence)
            say(f"{model.name}: {model.path} ({model.bytes / 2**20:.1f} MiB)") if not args.json else None
        return 0
    entries = models.catalogue()
    if args.json:
        from dataclasses import asdict

        print_json([asdict(entry) for entry in entries])
        return 0
    rows = []
    for entry in entries:
        size = f"{entry.bytes / 2**20:.1f} MiB"
        count = f"{entry.parameters / 1e6:.3g} M" if entry.parameters else ""
        rows.append(
            (entry.name, size, count, "ready" if entry.cached else "", entry.licence or "", entry.purpose)
        )
    table("", ["model", "size", "parameters", "cached", "licence", "for"], rows)
    return 0


def _clean(args: argparse.Namespace) -> int:
    from ..system import owned

    def row(entry: owned.OwnedEntry) -> dict[str, Any]:
        return {
            "kind": entry.kind,
            "what": entry.label,
            "pid": entry.data.get("pid"),
            "used_by": entry.data["owner"]["pid"] if entry.owner_alive else None,
        }

    found = [row(entry) for entry in owned.entries()]
    if not args.json:
        for resource in found:
            owner = f"used by pid {resource['used_by']}" if resource["used_by"] else "nobody uses it"
            print(f"{resource['kind']} {resource['pid'] or ''} {resource['what']}: {owner}")
        if not found:
            print("nothing is running")
    ended = [] if args.list else [row(entry) for entry in owned.clean(everything=args.all)]
    if args.json:
        print_json({"found": found, "ended": ended})
    elif not args.list and found:
        left = len(found) - len(ended)
        print(
            f"ended {len(ended)}"
            + (f"; {left} in use (llmlab clean --all ends those too)" if left > 0 else "")
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
