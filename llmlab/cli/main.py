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
        one = verbs.add_parser(name, help=help, description=help)
        if as_json:
            one.add_argument("--json", action="store_true", help="print JSON, for programs")
        return one

    verb("doctor", "what this machine can run, what is missing, and the command that brings it")
    verb("labs", "the labs with their minutes, needs and your progress")
    one = verb("check", "deploy your files for a lab afresh and probe what runs")
    one.add_argument("lab", help="number or name, e.g. 01")
    one.add_argument("check", nargs="*", help="only these checks")
    one.add_argument("--files", help="another folder with the lab's files")
    one.add_argument("--seed", type=int, default=0, help="what randomised inputs are drawn from")
    one = verb("hint", "the next hint for a check", as_json=False)
    one.add_argument("lab")
    one.add_argument("check", nargs="?", help="default: the first one that failed last time")
    one = verb("reset", "put a lab's starter files back (yours are kept beside them)")
    one.add_argument("lab")
    one = verb("grade", "grade what a class handed in: a result and a feedback page each, and a gradebook")
    one.add_argument("lab", help="number or name, e.g. 01, or a lab's own folder")
    one.add_argument(
        "submissions", help="a folder with a folder, zip or notebook of each learner; or a single one"
    )
    one.add_argument("--out", required=True, help="where the results go; run again, it resumes there")
    one.add_argument("--jobs", type=int, default=0, help="submissions at work at once (default: one a core)")
    one.add_argument(
        "--due", help="the deadline, e.g. 2026-12-01T23:59 (your time zone); kept for later runs"
    )
    one.add_argument(
        "--after-deadline", action="store_true", help="feedback may say what the hidden inputs were"
    )
    one.add_argument(
        "--regrade", nargs="+", default=[], metavar="LEARNER", help="grade these again, whatever is there"
    )
    one.add_argument(
        "--secret", help="a file with the secret that inputs are drawn from (default: OUT/secret.key)"
    )
    one = verb("engine", "where the llama-server comes from; `engine build` makes a native one")
    one.add_argument("what", nargs="?", choices=["build"], help="build a native llama-server into the cache")
    one.add_argument("--cuda", action="store_true", help="with build: for NVIDIA GPUs")
    one = verb("models", "the models; `models fetch NAME` makes or downloads some")
    one.add_argument("what", nargs="?", choices=["fetch"])
    one.add_argument("names", nargs="*", metavar="name")
    one.add_argument(
        "--accept-licence", action="store_true", help="you have read the model's licence and accept it"
    )
    one = verb("images", "the images of the container labs: pulled where possible, else built here")
    one.add_argument("labs", nargs="*", metavar="lab", help="only those of these labs, e.g. 04")
    one.add_argument("--list", action="store_true", help="only list")
    one = verb(
        "cluster",
        "a Kubernetes cluster of your own: `up`, `status`, `down`; `build` brings its programs beforehand",
    )
    one.add_argument("what", choices=["up", "status", "down", "build"])
    one.add_argument(
        "--driver",
        choices=["local", "kind", "simulated", "context"],
        help="default: the best that this machine can run",
    )
    one.add_argument("--core", action="store_true", help="build: not what only add-ons need")
    one.add_argument("--nodes", type=int, help="kind and simulated: how many (default 1 and 3)")
    one.add_argument("--context", default="", help="context: which of your kubeconfig's clusters")
    one.add_argument("--namespace", default="", help="context: a namespace that is not there yet")
    verb("terraform", "the AWS provider of lab 10, fetched once where this machine has none", as_json=False)
    verb(
        "regions",
        "the programs of labs 12 and 13: the edge's runtime, PowerDNS, HAProxy and Toxiproxy, fetched or built once",
        as_json=False,
    )
    one = verb("clean", "end what llmlab started and nobody uses any more")
    one.add_argument("--list", action="store_true", help="only list")
    one.add_argument("--all", action="store_true", help="also what a running notebook still owns")
    one = verb("author", "for authors and instructors: a lab of your own, and its notebooks", as_json=False)
    acts = one.add_subparsers(dest="what", required=True, metavar="what")
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        if args.verb is None:
            from .frontdoor import open_course

            return open_course(browser=not args.no_browser, port=args.port, lab=not args.no_lab)
        return int(globals()[f"_{args.verb}"](args))
    except LabError as error:
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


def _say(text: str) -> None:
    print(text, flush=True)


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(soft_wrap=False).print(table)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=1, ensure_ascii=False, default=str))


def _doctor(args: argparse.Namespace) -> int:
    from .. import doctor

    report = doctor.report()
    if args.json:
        _print_json(report)
    else:
        show_doctor(report)
    return 0 if next(one for one in report["needs"] if one["name"] == "process")["met"] else 1


def show_doctor(report: dict[str, Any]) -> None:
    """Print the doctor's table."""
    machine = report["machine"]
    print(f"{machine['line']} · {machine['system']} · profile {machine['profile']}")
    rows = [
        ("✔" if one["met"] else "–", one["name"], one["detail"], "" if one["met"] else one["mend"])
        for one in report["needs"]
    ]
    _table("", ["", "need", "found", "to bring it"], rows)


def _labs(args: argparse.Namespace) -> int:
    from ..course.info import all_labs
    from ..course.progress import standing

    labs = all_labs()
    if args.json:
        _print_json(
            [
                {
                    "lab": one.number,
                    "name": one.name,
                    "title": one.title,
                    "minutes": one.minutes,
                    "needs": one.needs,
                    "points": one.points,
                    "progress": standing(one),
                }
                for one in labs
            ]
        )
    else:
        rows = [
            (one.number, one.title, str(one.minutes), ", ".join(one.needs), standing(one)) for one in labs
        ]
        _table("", ["lab", "title", "minutes", "needs", "progress"], rows)
    return 0


def _check(args: argparse.Namespace) -> int:
    import msgspec

    from ..course.info import find_lab
    from ..lab import Lab

    info = find_lab(args.lab)
    lab = Lab.here(info.name, submission=args.files or info.folder, seed=args.seed)
    result = lab.check(*args.check, quiet=args.json or not sys.stdout.isatty())
    if args.json:
        _print_json(msgspec.to_builtins(result) | {"passed": result.passed, "failing": result.failing})
    else:
        print(result)
    return 0 if result.passed else 1


def _hint(args: argparse.Namespace) -> int:
    from ..course.info import find_lab
    from ..lab import Lab

    info = find_lab(args.lab)
    print(Lab.here(info.name, submission=info.folder).hint(args.check))
    return 0


def _reset(args: argparse.Namespace) -> int:
    from ..course.info import find_lab
    from ..lab.lab import reset

    info = find_lab(args.lab)
    names = reset(info, info.folder)
    if args.json:
        _print_json({"lab": info.name, "reset": names})
    else:
        print(
            f"{', '.join(names) or 'nothing to reset'} in {info.folder}; what was there is kept in .llmlab/"
        )
    return 0


def _grade(args: argparse.Namespace) -> int:
    from pathlib import Path

    from ..course.info import find_lab, read_info
    from ..grade import Grading, Settings, summary
    from ..grade.sandbox import kind
    from ..grade.show import board
    from ..grade.text import printable

    folder = Path(args.lab)
    info = read_info(folder.resolve()) if (folder / "lab.toml").is_file() else find_lab(args.lab)
    settings = Settings(
        jobs=args.jobs,
        due=_due(args.due),
        released=args.after_deadline,
        regrade=frozenset(args.regrade),
        secret=Path(args.secret) if args.secret else None,
    )
    out = Path(args.out)
    with Grading(info, Path(args.submissions), out, settings) as it:
        if not args.json:
            many = len(it.class_)
            print(
                f"Lab {info.number}, {many} submission{'' if many == 1 else 's'}, "
                f"{it.jobs} at a time, each in a sandbox ({kind(info)})",
                flush=True,
            )
        if it.wrapped:
            print(printable(it.wrapped), file=sys.stderr if args.json else sys.stdout, flush=True)
        with board(len(it.class_), quiet=args.json) as shown:
            try:
                rows = it.run(say=shown.say, heard=shown.heard)
            except KeyboardInterrupt:
                kept = f"{len(it.results)} of {len(it.class_)} are graded and kept in {out}"
                raise LabError(f"Interrupted: {kept}.", fix="the same command goes on from there") from None
    if args.json:
        import msgspec

        _print_json([msgspec.to_builtins(graded) | {"score": score.score} for graded, score in rows])
    else:
        for line in summary(rows):
            print(line)
        print(f"gradebook: {out / 'gradebook.csv'}; points and comments of your own: {out / 'manual.toml'}")
    return 1 if any(graded.status == "error" for graded, _ in rows) else 0


def _due(text: str | None) -> Any:
    if text is None:
        return None
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise LabError(f"{text!r} is not a time.", where="--due", fix="--due 2026-12-01T23:59") from None


def _engine(args: argparse.Namespace) -> int:
    from .. import engine

    if args.what == "build":
        from .frontdoor import build_engine

        return build_engine(cuda=args.cuda, as_json=args.json)
    rungs = engine.candidates()
    chosen = engine.find()
    if args.json:
        _print_json(
            {
                "chosen": {
                    "kind": chosen.kind,
                    "version": chosen.version,
                    "argv": chosen.argv,
                    "capabilities": sorted(chosen.capabilities),
                },
                "candidates": [
                    {"kind": one.kind, "found": one.engine is not None, "detail": one.detail} for one in rungs
                ],
            }
        )
        return 0
    rows = [
        ("→" if one.engine and one.engine.argv == chosen.argv else "", one.kind, one.detail) for one in rungs
    ]
    _table("", ["", "from", "found"], rows)
    print(f"in use: {chosen.line()}")
    return 0


def _models(args: argparse.Namespace) -> int:
    from .. import models

    if args.what == "fetch":
        for name in args.names or ["tiny", "20m"]:
            model = models.fetch(name, say=None if args.json else _say, accept_licence=args.accept_licence)
            _say(f"{model.name}: {model.path} ({model.bytes / 2**20:.1f} MiB)") if not args.json else None
        return 0
    entries = models.catalogue()
    if args.json:
        from dataclasses import asdict

        _print_json([asdict(one) for one in entries])
        return 0
    rows = []
    for one in entries:
        size = f"{one.bytes / 2**20:.1f} MiB"
        count = f"{one.parameters / 1e6:.3g} M" if one.parameters else ""
        rows.append((one.name, size, count, "ready" if one.cached else "", one.licence or "", one.purpose))
    _table("", ["model", "size", "parameters", "cached", "licence", "for"], rows)
    return 0


def _images(args: argparse.Namespace) -> int:
    from ..tiers.docker import images, plugins

    wanted = [
        one for one in images.CATALOGUE if not args.labs or {lab[:2] for lab in args.labs} & set(one.labs)
    ]
    say = (lambda _: None) if args.json else _say
    if not args.list:
        for plugin in plugins.bring():
            say(f"{plugin} plugin: brought into a private configuration")
        for line in images.ensure([one.name for one in wanted], say=say):
            say(line)
    rows = [(one, images.here(one.name)) for one in wanted]
    if args.json:
        _print_json(
            [{"image": one.name, "what": one.what, "labs": one.labs, "here": there} for one, there in rows]
        )
    else:
        table = [("✔" if there else "–", one.name, one.what, ", ".join(one.labs)) for one, there in rows]
        _table("", ("", "image", "what", "labs"), table)
    return 0


def _cluster(args: argparse.Namespace) -> int:
    from ..tiers.kubernetes.command import run

    return run(args)


def _terraform(args: argparse.Namespace) -> int:
    from ..tiers.aws import mirror

    place = mirror.bring(_say)
    _say(f"{mirror.program()} with the AWS provider {mirror.VERSION} from {place}")
    return 0


def _regions(args: argparse.Namespace) -> int:
    import shlex

    from ..tiers.edge import workerd
    from ..tiers.regions import programs

    found = programs.bring(_say)
    for line in (found.pdns, found.haproxy, found.toxiproxy):
        _say(shlex.join(line))
    _say(str(workerd.bring(_say)))
    return 0


def _clean(args: argparse.Namespace) -> int:
    from ..system import owned

    def row(entry: owned.Entry) -> dict[str, Any]:
        return {
            "kind": entry.kind,
            "what": entry.label,
            "pid": entry.data.get("pid"),
            "used_by": entry.data["owner"]["pid"] if entry.owner_alive else None,
        }

    found = [row(one) for one in owned.entries()]
    if not args.json:
        for one in found:
            owner = f"used by pid {one['used_by']}" if one["used_by"] else "nobody uses it"
            print(f"{one['kind']} {one['pid'] or ''} {one['what']}: {owner}")
        if not found:
            print("nothing is running")
    ended = [] if args.list else [row(one) for one in owned.clean(everything=args.all)]
    if args.json:
        _print_json({"found": found, "ended": ended})
    elif not args.list and found:
        left = len(found) - len(ended)
        print(
            f"ended {len(ended)}"
            + (f"; {left} in use (llmlab clean --all ends those too)" if left > 0 else "")
        )
    return 0


def _author(args: argparse.Namespace) -> int:
    from .. import authoring
    from ..authoring import readme
    from ..system.paths import course_dir

    if args.what == "new":
        return _author_new(args)
    course = course_dir()
    if args.check:
        drift: list[Any] = list(authoring.check(course, args.labs or None))
        if readme.drifted(course):
            drift.append("README.md: its table is not what the lab.toml files say")
        for one in drift:
            print(f"✘ {one}")
        print("no drift" if not drift else "mend it: llmlab author build")
        return 1 if drift else 0
    for path in authoring.build(course, args.labs or None, say=_say):
        print(path)
    readme.write(course)
    return 0


def _author_new(args: argparse.Namespace) -> int:
    from pathlib import Path

    from .. import authoring
    from ..authoring import readme

    course = authoring.course_for(Path(args.into) if args.into else None)
    for path in authoring.new(args.name, course, title=args.title):
        print(path.relative_to(course))
    readme.write(course)
    return 0


if __name__ == "__main__":
    sys.exit(main())
