"""What the learner has done so far, and the index page that shows it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from ..checks import Result
from ..errors import LabError
from ..system.paths import replace_file, writing
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


def note_result(info: LabInfo, files: Path, result: Result) -> None:
    """Keep the last and the best score."""
    path = work_folder(files) / "progress.json"
    state = read_json(path)
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


def standing(info: LabInfo) -> str:
    """Where the learner stands in a lab, in a word or two."""
    state = read_json(work_folder(info.folder) / "progress.json")
    if state.get("passed"):
        return "✔ done"
    if "checked" in state:
        return f"{state.get('best', 0):g} of {info.points:g} points"
    return "opened" if state else "–"


def index_page(course: Path) -> str:
    """The course's front page in Markdown: every lab with its minutes, needs and the learner's progress."""
    from ..doctor import need

    lines = [
        "# llmlab",
        "",
        "Every lab starts a real server, measures it, and checks what really runs. "
        "Start at the top; each lab says what to read next.",
        "",
        "| | lab | minutes | needs | your progress |",
        "|---|---|---|---|---|",
    ]
    lacking = {}
    for info in all_labs(course):
        marks = []
        for name in info.needs:
            found = need(name)
            marks.append(name if found.met else f"{name} (missing)")
            if not found.met:
                lacking[name] = found
        lines.append(
            f"| {info.number} | [{info.title}]({info.name}/lab.ipynb) | {info.minutes} | "
            f"{', '.join(marks) or '–'} | {standing(info)} |"
        )
    if lacking:
        lines += ["", "**Missing on this machine**", ""]
        lines += [f"- {lack.name}: {lack.detail}. Bring it: `{lack.mend}`" for lack in lacking.values()]
    lines += [
        "",
        "In a terminal: `llmlab doctor` (what this machine can run), `llmlab check 01`, `llmlab hint 01`, "
        "`llmlab clean --list` (what is still running).",
        "",
    ]
    return "\n".join(lines)


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
