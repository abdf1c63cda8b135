"""Run the checks of a lab in a process of their own.

`run` copies the lab's declared artifacts and the learner's records (and nothing else), starts `python -m llmlab.checks.run` on the copy
and reads its events. A check can therefore not be influenced by what the learner's kernel holds, and a
crash of the grader is seen as an error outcome.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..errors import LabError, Unavailable
from ..load.turn import Turn
from .check import Check, Context, DeploymentFailed
from .parts import load_checks
from .result import Evidence, Outcome, Result
from .talk import Asked, Event, Talk, converse, unreadable

NOT_REACHED = "it was not reached: the checks were ended before it"
MAX_RECORDS = 50
MAX_ARTIFACT = 1 << 20  # bytes; a deployment file is text

#: Starts `python ARGUMENTS` with the three pipes, in a folder.
Spawn = Callable[[Sequence[str], Path], "subprocess.Popen[bytes]"]


def snapshot(files: Path, artifacts: Sequence[str], into: Path) -> list[str]:
    """Copy the declared artifacts and the newest records; returns what is missing or refused, with the reason."""
    for source in sorted((files / "records").glob("*.json"))[-MAX_RECORDS:]:
        if not source.is_symlink() and source.is_file():
            (into / "records").mkdir(exist_ok=True)
            shutil.copyfile(source, into / "records" / source.name)
    problems = []
    for name in artifacts:
        source = files / name
        if source.is_symlink() or not source.is_file():
            problems.append(f"{name} is missing" if not source.is_symlink() else f"{name} is a link")
        elif source.stat().st_size > MAX_ARTIFACT:
            problems.append(f"{name} is larger than {MAX_ARTIFACT >> 20} MiB")
        else:
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    return problems


def run(
    lab: Path,
    files: Path,
    *,
    artifacts: Sequence[str],
    answers: Mapping[str, Any] | None = None,
    seed: int = 0,
    needs: Sequence[str] = (),
    only: Sequence[str] = (),
    problems: Sequence[str] = (),
    on_event: Callable[[Event], None] = lambda _: None,
    spawn: Spawn | None = None,
    talk: Talk = converse,
    wall: float | None = None,
    ready: float | None = None,
    turn: Turn | None = None,
    own_doing: Callable[[], Evidence | None] = lambda: None,
    home: Path | None = None,
) -> Result:
    """Deploy and probe `files` as lab `lab` asks, in a process of its own.

    :param lab: the lab's folder, with `checks.py` and its parts.
    :param needs: what the whole lab needs, where the machine is the learner's: a check that cannot be made for want of it is skipped.
        A grader names none: its machine has them, and what is missing there afterwards may be the files' own doing.
    :param problems: what is wrong with the files before anything is deployed; every check fails with it.
    :param on_event: gets `{"event": "start"|"outcome"|"say", ...}` as they come.
    :param spawn: starts that process, given its arguments and the folder of the files (a grader: in a sandbox).
    :param talk: hears that process (a grader of another machine's: what was told there is told again).
    :param wall: seconds for all checks together; the check that is at work then has failed.
    :param ready: seconds a deployment may take to become ready.
    :param turn: waited for before a timed check.
    :param own_doing: asked when all is over: what these files brought about themselves (they used up the memory, say). Then a check that
        could not be judged has failed by it.
    :param home: the folder in which the learner works, where that is on this machine: a check may look through it, and never runs it.
    """
    # What a container wrote there as root may be another's to remove.
    with tempfile.TemporaryDirectory(prefix="llmlab-check-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder)
        problems = [*problems, *snapshot(files, artifacts, copy)]
        process = (spawn or _spawn)(["-m", "llmlab.checks.run"], copy)
        order = {
            "lab": str(lab),
            "files": str(copy),
            "answers": dict(answers or {}),
            "seed": seed,
            "only": list(only),
            "problems": problems,
            "ready": ready,
            "missing": _lacking(needs),
            "home": str(home) if home is not None else None,
        }
        result: Result | None = None
        outcomes: list[Outcome] = []
        plan: list[Outcome] = []  # every check as it counts if the process ends before it has its turn

        def hear(event: Event) -> None:
            nonlocal result
            if event["event"] == "result":
                result = msgspec.convert(event["result"], Result)
            elif event["event"] == "plan":
                plan.extend(msgspec.convert(event["checks"], list[Outcome]))
            else:
                if event["event"] == "outcome":
                    event["outcome"] = msgspec.convert(event["outcome"], Outcome)
                    outcomes.append(event["outcome"])
                on_event(event)

        ended = talk(process, order, on_event=hear, wall=wall, turn=turn or Turn(longest=math.inf))
    theirs = own_doing()
    if result is not None and theirs is not None:
        result = msgspec.structs.replace(
            result, outcomes=[_by_themselves(outcome, theirs) for outcome in result.outcomes]
        )
    elif result is None and (theirs is not None or ended.why == "wall"):
        why = theirs or _out_of_time(wall or 0)
        result = Result(lab=lab.name, created=_now(), seed=seed, outcomes=_cut_short(outcomes, plan, why))
    elif result is None:
        reason = f"the grader's process ended with code {ended.code}: {ended.noise[-800:]}"
        broken = Outcome(
            check="grader", title="The grader itself", status="error", points=0, max_points=0, reason=reason
        )
        result = Result(lab=lab.name, created=_now(), seed=seed, outcomes=[*outcomes, broken])
    return result


def _spawn(arguments: Sequence[str], cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd=cwd,
    )


def _out_of_time(wall: float) -> Evidence:
    return Evidence(
        f"all checks are done within {wall:.0f} s",
        "this one was still waiting for what was deployed",
        "llmlab check",
    )


def _cut_short(outcomes: Sequence[Outcome], plan: Sequence[Outcome], why: Evidence) -> list[Outcome]:
    """The check at work has failed, those after it were not reached: a deployment that hangs, or leaves no memory, earns nothing by it."""
    done = [_by_themselves(outcome, why) for outcome in outcomes]
    left = [msgspec.structs.replace(outcome, reason=NOT_REACHED) for outcome in plan[len(outcomes) :]]
    return [
        *done,
        *(msgspec.structs.replace(o, status="failed", evidence=why, reason=None) for o in left[:1]),
        *left[1:],
    ]


def _by_themselves(outcome: Outcome, why: Evidence) -> Outcome:
    """What could not be judged has failed, where the files themselves are why."""
    if outcome.status not in ("error", "inconclusive"):
        return outcome
    return msgspec.structs.replace(outcome, status="failed", points=0.0, evidence=why, reason=None)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_here(
    checks: Sequence[Check],
    context: Context,
    *,
    problems: Sequence[str] = (),
    missing: Mapping[str, str] | None = None,
    emit: Callable[[Event], None] = lambda _: None,
) -> list[Outcome]:
    """Run checks in this process, in order; each gets exactly one outcome.

    :param missing: needs of the whole lab that the machine lacked before anything was deployed, with words: a check that cannot be
        made is skipped then, and no error.
    """
    outcomes: dict[str, Outcome] = {}
    for check in checks:
        emit({"event": "start", "check": check.name, "title": check.title})
        began = time.monotonic()
        status, points, evidence, reason, data = "error", 0.0, None, None, {}
        realism = check.realism
        blocked = [need for need in check.needs if need in outcomes and outcomes[need].status != "passed"]
        lacking = _lacking(check.machine)
        if problems:
            status, evidence = "failed", Evidence("the lab's files", "; ".join(problems), "llmlab reset")
        elif blocked:
            status, reason = "skipped", f"needs {', '.join(blocked)} to pass first"
        elif lacking:
            status, reason = "skipped", "; ".join(lacking.values())
        else:
            try:
                with context.turn() if check.timed else contextlib.nullcontext():
                    verdict = check.function(context)
                status, evidence, reason = verdict.status, verdict.evidence, verdict.reason
                data = dict(verdict.data)
                realism = verdict.realism or realism
                points = check.points if status == "passed" else 0.0
            except DeploymentFailed as error:
                status, evidence = "failed", _does_not_run(str(error), context)
            except Unavailable as error:
                reason = str(error)
                lacking = dict(missing or {})
            except LabError as error:
                if context.blames(error):  # a line of theirs, met outside of a deployment
                    status, evidence = "failed", _does_not_run(context.words(error), context)
                elif missing:
                    reason = error.what
                    lacking = dict(missing)
                else:
                    reason = traceback.format_exc(limit=-4)
            except Exception:  # a bug of ours must cost the learner nothing, and be seen
                reason = traceback.format_exc(limit=-4)
        if status == "error" and lacking:  # no fault of the grader's
            status, reason = "skipped", "\n".join([*lacking.values(), str(reason)])
        outcomes[check.name] = Outcome(
            check=check.name,
            title=check.title,
            status=status,
            points=points,
            max_points=check.points,
            realism=realism,
            stands_in=check.stands_in,
            evidence=evidence,
            reason=reason,
            waits=blocked if status == "skipped" else [],
            lacks=list(lacking) if status == "skipped" and not blocked else [],
            seconds=round(time.monotonic() - began, 3),
            data=data,
        )
        emit({"event": "outcome", "outcome": msgspec.to_builtins(outcomes[check.name])})
    return list(outcomes.values())


def _does_not_run(said: str, context: Context) -> Evidence:
    serves = (context.files / "server.toml").is_file()
    look = "lab.serve(), or llmlab check" if serves else "the cell of your notebook that starts it"
    return Evidence("what the files describe starts and serves", said, look)


def _lacking(needs: Sequence[str]) -> dict[str, str]:
    """What this machine has not, each with the command that brings it."""
    if not needs:
        return {}
    from ..doctor import need

    found = [lack for lack in map(need, needs) if not lack.met]
    return {
        lack.name: f"this machine lacks {lack.name}: {lack.detail}. Bring it: {lack.mend}" for lack in found
    }


def main() -> None:
    """The grader's process: one order on stdin, events on stdout; ends when stdin does."""
    from .. import engine, machine
    from ..load import turn

    os.environ["LLMLAB_VET"] = (
        "1"  # whatever is deployed here was written by others (llmlab.tiers.docker.vet)
    )
    unreadable()  # what a learner deploys runs as the same user: it must not find the token of these events
    asked = Asked()
    order, emit = asked.order, asked.emit
    turn.take = asked.turn
    began = time.monotonic()
    context = Context(
        files=Path(order["files"]),
        seed=order["seed"],
        answers=order["answers"],
        profile=machine.profile(),
        lab=Path(order["lab"]),
        ready=order["ready"],
        turn=asked.turn,
        say=lambda text: emit({"event": "say", "text": text}),
        home=Path(order["home"]) if order.get("home") else None,
    )
    checks = load_checks(Path(order["lab"]))
    if order["only"]:
        checks = [check for check in checks if check.name in order["only"]]
    emit({"event": "plan", "checks": [msgspec.to_builtins(_unreached(check)) for check in checks]})
    try:
        outcomes = run_here(checks, context, problems=order["problems"], missing=order["missing"], emit=emit)
    finally:
        context.close()
    result = Result(
        lab=Path(order["lab"]).name,
        created=_now(),
        seed=order["seed"],
        outcomes=outcomes,
        engine=engine.find().line() if context.deployed else "",
        machine=machine.describe().line,
        seconds=round(time.monotonic() - began, 3),
    )
    emit({"event": "result", "result": msgspec.to_builtins(result)})
    sys.stderr.flush()
    os._exit(0)  # the thread that reads stdin would hold up an orderly end for a second and then abort it


def _unreached(check: Check) -> Outcome:
    return Outcome(
        check=check.name,
        title=check.title,
        status="skipped",
        points=0.0,
        max_points=check.points,
        realism=check.realism,
        stands_in=check.stands_in,
        reason=NOT_REACHED,
    )


if __name__ == "__main__":
    main()
