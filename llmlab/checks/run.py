"""Run the checks of a lab in a process of their own.

`run` copies the lab's declared artifacts (and nothing else), starts `python -m llmlab.checks.run` on the copy
and reads its events. A check can therefore not be influenced by what the learner's kernel holds, and a
crash of the grader is seen as an error outcome.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from .check import Check, Context, DeploymentFailed
from .result import Evidence, Outcome, Result

MAX_ARTIFACT = 1 << 20  # bytes; a deployment file is text

Event = dict[str, Any]


def load_checks(lab: Path) -> list[Check]:
    """The checks of a lab, in the order in which its `checks.py` defines them."""
    spec = importlib.util.spec_from_file_location(f"llmlab_checks_{lab.name[:2]}", lab / "checks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, Check)]


def snapshot(files: Path, artifacts: Sequence[str], into: Path) -> list[str]:
    """Copy the declared artifacts; returns what is missing or refused, with the reason."""
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
    only: Sequence[str] = (),
    on_event: Callable[[Event], None] = lambda _: None,
) -> Result:
    """Deploy and probe `files` as lab `lab` asks, in a process of its own.

    :param lab: the lab's folder, with `checks.py`.
    :param on_event: gets `{"event": "start"|"outcome"|"say", ...}` as they come.
    """
    with tempfile.TemporaryDirectory(prefix="llmlab-check-") as folder:
        copy = Path(folder)
        problems = snapshot(files, artifacts, copy)
        order = {
            "lab": str(lab),
            "files": str(copy),
            "answers": dict(answers or {}),
            "seed": seed,
            "only": list(only),
            "problems": problems,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "llmlab.checks.run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            start_new_session=True,
            cwd=copy,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        noise: list[str] = []
        reader = threading.Thread(target=lambda e=process.stderr: noise.extend(e), daemon=True)
        reader.start()
        result: Result | None = None
        outcomes: list[Outcome] = []
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "result":
                    result = msgspec.convert(event["result"], Result)
                    continue
                if event["event"] == "outcome":
                    event["outcome"] = msgspec.convert(event["outcome"], Outcome)
                    outcomes.append(event["outcome"])
                on_event(event)
        finally:
            process.stdin.close()  # the grader ends when it sees this, and its servers with it
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            reader.join(timeout=5)
            process.stderr.close()
    if result is None:
        reason = f"the grader's process ended with code {process.returncode}: {''.join(noise)[-800:].strip()}"
        broken = Outcome(
            check="grader", title="The grader itself", status="error", points=0, max_points=0, reason=reason
        )
        result = Result(lab=lab.name, created=_now(), seed=seed, outcomes=[*outcomes, broken])
    return result


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def run_here(
    checks: Sequence[Check],
    context: Context,
    *,
    problems: Sequence[str] = (),
    emit: Callable[[Event], None] = lambda _: None,
) -> list[Outcome]:
    """Run checks in this process, in order; each gets exactly one outcome."""
    outcomes: dict[str, Outcome] = {}
    for one in checks:
        emit({"event": "start", "check": one.name, "title": one.title})
        began = time.monotonic()
        status, points, evidence, reason, data = "error", 0.0, None, None, {}
        blocked = [need for need in one.needs if need in outcomes and outcomes[need].status != "passed"]
        missing = _missing(one.machine)
        if problems:
            status, evidence = "failed", Evidence("the lab's files", "; ".join(problems), "llmlab reset")
        elif blocked:
            status, reason = "skipped", f"needs {', '.join(blocked)} to pass first"
        elif missing:
            status, reason = "skipped", missing
        else:
            try:
                verdict = one.function(context)
                status, evidence, reason = verdict.status, verdict.evidence, verdict.reason
                data = dict(verdict.data)
                points = one.points if status == "passed" else 0.0
            except DeploymentFailed as error:
                status = "failed"
                evidence = Evidence(
                    "what the files describe starts and serves", str(error), "lab.serve(), or llmlab check"
                )
            except Exception:  # a bug of ours must cost the learner nothing, and be seen
                reason = traceback.format_exc(limit=-4)
        outcomes[one.name] = Outcome(
            check=one.name,
            title=one.title,
            status=status,
            points=points,
            max_points=one.points,
            realism=one.realism,
            stands_in=one.stands_in,
            evidence=evidence,
            reason=reason,
            seconds=round(time.monotonic() - began, 3),
            data=data,
        )
        emit({"event": "outcome", "outcome": msgspec.to_builtins(outcomes[one.name])})
    return list(outcomes.values())


def _missing(needs: Sequence[str]) -> str | None:
    if not needs:
        return None
    from ..doctor import need

    lacking = [found for found in map(need, needs) if not found.met]
    return (
        "; ".join(f"this machine lacks {one.name}: {one.detail}. Bring it: {one.mend}" for one in lacking)
        or None
    )


def main() -> None:
    """The grader's process: one order on stdin, events on stdout; ends when stdin does."""
    from .. import engine, machine

    order = json.loads(sys.stdin.readline())

    def watch() -> None:  # the one who asked is gone: nobody will read the verdict
        sys.stdin.read()
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()
    out = sys.stdout
    sys.stdout = sys.stderr  # nothing but events may reach the pipe

    def emit(event: Event) -> None:
        out.write(json.dumps(event) + "\n")
        out.flush()

    began = time.monotonic()
    context = Context(
        files=Path(order["files"]),
        seed=order["seed"],
        answers=order["answers"],
        profile=machine.profile(),
        say=lambda text: emit({"event": "say", "text": text}),
    )
    checks = load_checks(Path(order["lab"]))
    if order["only"]:
        checks = [one for one in checks if one.name in order["only"]]
    try:
        outcomes = run_here(checks, context, problems=order["problems"], emit=emit)
    finally:
        context.close()
    result = Result(
        lab=Path(order["lab"]).name,
        created=_now(),
        seed=order["seed"],
        outcomes=outcomes,
        engine=engine.find().line(),
        machine=machine.describe().line,
        seconds=round(time.monotonic() - began, 3),
    )
    emit({"event": "result", "result": msgspec.to_builtins(result)})


if __name__ == "__main__":
    main()
