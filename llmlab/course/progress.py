"""What the learner has done so far, and the index page that shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..checks import Result
from ..checks.page import bar
from ..errors import LabError
from ..system.paths import replace_file, writing
from ..tier import Need
from .info import LabInfo, all_labs


def work_folder(files: Path) -> Path:
    """Where a lab's own notes on the learner's work lie: answers, hints seen, last result, files before a reset."""
    return files / ".llmlab"


def read_json(path: Path) -> dict[str, Any]:
    """A small JSON file of ours; empty when it is not there or broken (it is never worth an error)."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write it whole or not at all.

    :raises LabError: when the folder cannot be written to.
    """
    with writing(path.parent):
        replace_file(path, (json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode())


def note_opened(info: LabInfo, files: Path) -> None:
    """The learner has run a cell of this lab."""
    path = work_folder(files) / "progress.json"
    state = read_json(path)
    if "opened" not in state:
        write_json(path, state | {"opened": datetime.now(UTC).isoformat(timespec="seconds")})
        write_index_quietly(info.folder.parent.parent)


def note_result(info: LabInfo, files: Path, result: Result, *, complete: bool = True) -> None:
    """Keep what each check said last, and, of a complete run, the last and the best score."""
    path = work_folder(files) / "progress.json"
    state = read_json(path)
    state["checks"] = {
        **(state["checks"] if isinstance(state.get("checks"), dict) and not complete else {}),
        **{outcome.check: outcome.status for outcome in result.outcomes},
    }
    if not complete:
        write_json(path, state)
        return
    best = max(float(state.get("best", 0)), result.points)
    state |= {"points": result.points, "best": best, "passed": result.passed, "checked": result.created}
    write_json(path, state)
    write_json(work_folder(files) / "result.json", msgspec.to_builtins(result))
    write_index_quietly(info.folder.parent.parent)


def last_result(files: Path) -> Result | None:
    """What the last full check said; None before the first one."""
    try:
        return msgspec.json.decode((work_folder(files) / "result.json").read_bytes(), type=Result)
    except (OSError, msgspec.MsgspecError):
        return None


def is_done(info: LabInfo) -> bool:
    """Whether the last complete check of the lab's own files passed."""
    return bool(read_json(work_folder(info.folder) / "progress.json").get("passed"))


def done(course: Path) -> tuple[int, int]:
    """How many labs of the course are done, and how many there are."""
    labs = all_labs(course)
    return sum(map(is_done, labs)), len(labs)


def so_far(info: LabInfo, files: Path) -> str:
    """What stands on these files, in words: points, and the checks that passed when each was last looked at."""
    state = read_json(work_folder(files) / "progress.json")
    checks = state.get("checks")
    passed = (
        [name for name, status in checks.items() if status == "passed"] if isinstance(checks, dict) else []
    )
    if state.get("passed"):
        return f"✔ done, {state.get('best', 0):g} of {info.points:g} points"
    if not checks:
        return f"{info.points:g} point{'s' if info.points != 1 else ''}, not checked yet"
    return f"so far {state.get('best', 0):g} of {info.points:g} points; passed: {', '.join(passed) or 'nothing yet'}"


def standing(info: LabInfo) -> str:
    """Where the learner stands in a lab, in a word or two."""
    state = read_json(work_folder(info.folder) / "progress.json")
    if state.get("passed"):
        return "✔ done"
    if "checked" in state:
        return f"{state.get('best', 0):g} of {info.points:g} points"
    return "opened" if state else "–"


def blocks(labs: Sequence[LabInfo]) -> list[tuple[str, list[LabInfo]]]:
    """Labs by part of the course, in order; those without one come last."""
    parts: dict[str, list[LabInfo]] = {}
    for lab in labs:
        parts.setdefault(lab.part or "More labs", []).append(lab)
    return sorted(parts.items(), key=lambda part: part[0] == "More labs")


def in_hours(minutes: int) -> str:
    """`1 h 35 min`."""
    hours, rest = divmod(minutes, 60)
    return " ".join(filter(None, [f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else ""]))


def index_page(course: Path) -> str:
    """The course's front page in Markdown: every lab with its minutes, needs and the learner's progress."""
    from ..doctor import need

    labs = all_labs(course)
    finished = sum(map(is_done, labs))
    here = next((lab for lab in labs if not is_done(lab)), None)
    lines = [
        "# llmlab: deploy LLM servers, and prove it",
        "",
        "Every lab starts a real server, measures it, and checks what really runs. For people who use a shell and read "
        "Python; no GPU is needed.",
        "",
    ]
    if here is not None:
        word = "Go on with" if finished or standing(here) != "–" else "Start"
        lines.append(f"**[{word} lab {here.number}: {here.title} →]({here.name}/{here.notebook.name})**")
    lines += [
        "",
        f"{bar(finished, len(labs))} labs done, {in_hours(sum(lab.minutes for lab in labs))} in all.",
    ]
    lacking = {}
    for name, own in blocks(labs):
        count = sum(map(is_done, own))
        lines += [
            "",
            f"## {name}",
            "",
            f"{bar(count, len(own), 2 * len(own))} · {in_hours(sum(lab.minutes for lab in own))}",
            "",
            "| lab | title | minutes | needs | your progress |",
            "|---|---|---|---|---|",
        ]
        for info in own:
            marks = []
            for what in info.needs:
                found = need(what)
                marks.append(what if found.met else f"{what} (missing)")
                if not found.met:
                    lacking[what] = found
            lines.append(
                f"| {info.number} | [{info.title}]({info.name}/{info.notebook.name}) | {info.minutes} | "
                f"{', '.join(marks) or '–'} | {standing(info)} |"
            )
    if lacking:
        lines += ["", "## Missing on this machine", ""]
        lines += [f"- **{lack.name}**: {lack.detail}. {_bring(lack)}" for lack in lacking.values()]
        lines += ["", "The labs that need none of these run here as they are."]
    lines += [
        "",
        "## In a terminal",
        "",
        "- `llmlab doctor`: what this machine can run",
        "- `llmlab check 01`, `llmlab hint 01`: the same as in the notebook",
        "- `llmlab clean --list`: what is still running",
        "",
        "You teach a class: [the instructor's guide](instructors.md).",
        "",
    ]
    return "\n".join(lines)


def _bring(lack: Need) -> str:
    """The command alone in a code span, so that it can be copied; what is said about it stands after it."""
    runs = re.match(r"(?:sudo|uv|llmlab|unset|apt-get|brew|xcode-select|docker)\b", lack.command)
    command = f"`{lack.command}`" if runs else lack.command
    return f"Bring it: {command}" + (f" ({lack.remark})" if lack.remark else "")


def write_index(course: Path) -> Path:
    """Write `labs/index.md`, which JupyterLab opens on.

    :raises LabError: when it cannot be written.
    """
    path = course / "labs" / "index.md"
    text = index_page(course)
    with writing(path.parent):
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return path


def write_index_quietly(course: Path) -> None:
    """Refresh the page if there is one: a read-only course folder is no reason to fail a check."""
    try:
        if (course / "labs" / "index.md").exists():
            write_index(course)
    except (OSError, LabError):
        pass
