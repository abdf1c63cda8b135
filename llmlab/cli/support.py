"""`llmlab support`: one file with what somebody needs who helps, and without keys and names."""

from __future__ import annotations

import argparse
import getpass
import json
import platform
import re
import socket
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..show.terminal import print_json, say
from ..system.paths import course_dir, replace_file, state_dir

FILE = "llmlab-support.json"
PACKAGES = (
    "jupyterlab",
    "ipykernel",
    "ipywidgets",
    "papermill",
    "docker",
    "kubernetes",
    "xllamacpp",
    "matplotlib",
    "pandas",
)

#: What is taken out of every text, and what stands there then.
SECRETS = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{6,}"), r"\1 [removed]"),
    (re.compile(r"(?i)((?:api[-_ ]?key|token|secret|password|passwd)[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]{4,}"), r"\1[removed]"),
    (re.compile(r"(?i)(--[\w-]*(?:key|token|secret|password)[\w-]* )[^\s-][^\s]{3,}"), r"\1[removed]"),
    (re.compile(r"\bsk-[\w-]{6,}"), "[removed]"),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), "[removed]"),
    (re.compile(r"\bgh[pousr]_\w{20,}"), "[removed]"),
    (re.compile(r"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL), "[removed]"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[address]"),
    (re.compile(r"(?<![\w.])(?!127\.|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "[ip]"),
    (re.compile(r"\b(?=[\w+/-]*\d)(?=[\w+/-]*[a-zA-Z])[\w+/-]{32,}={0,2}(?![\w/])"), "[removed]"),
)  # fmt: skip


def _names() -> list[tuple[re.Pattern[str], str]]:
    """This machine's and this person's names, longest first: the home folder, the user, the host."""
    found = [(str(Path.home()), "~")]
    with suppress(OSError, KeyError, ImportError):
        user = getpass.getuser()
        found.append((user, "[user]")) if user not in ("root", "jovyan") else None
    host = socket.gethostname()
    found += [(host, "[host]"), (host.partition(".")[0], "[host]")]
    return [
        (re.compile(rf"(?<![\w]){re.escape(name)}(?![\w])"), instead)
        for name, instead in found
        if len(name) > 2 and name != "localhost"
    ]


def cleaned(value: Any) -> Any:
    """The same without keys, addresses and names: in every text of lists and tables, however deep."""
    if isinstance(value, dict):
        return {key: cleaned(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(part) for part in value]
    if not isinstance(value, str):
        return value
    for pattern, instead in (*_names(), *SECRETS):
        value = pattern.sub(instead, value)
    return value


def note_error(error: BaseException, verb: str | None) -> None:
    """Keep the newest error of the command line for `llmlab support`; where that cannot be written, it is not kept."""
    with suppress(OSError):
        told = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "verb": verb,  # the rest of the line may hold what is nobody's business
            "error": "".join(traceback.format_exception(error))[-6000:],
        }
        replace_file(state_dir() / "last-error.json", json.dumps(cleaned(told)).encode())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _last_error() -> Any:
    try:
        return json.loads((state_dir() / "last-error.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _labs() -> list[dict[str, Any]]:
    from ..course.info import all_labs
    from ..course.progress import last_result, standing

    out = []
    for lab in all_labs(course_dir()):
        result = last_result(lab.folder)
        if result is None:
            continue
        checks = {outcome.check: outcome.status for outcome in result.outcomes}
        trouble = {
            outcome.check: outcome.reason
            for outcome in result.outcomes
            if outcome.status in ("error", "inconclusive")
        }
        out.append(
            {
                "lab": lab.name,
                "standing": standing(lab),
                "checked": result.created,
                "checks": checks,
                "trouble": trouble,
            }
        )
    return out


def report() -> dict[str, Any]:
    """Versions, what the machine has, the last error, what is registered, and what the labs' checks said last."""
    from .. import doctor
    from ..system import owned

    return cleaned({  # type: ignore[no-any-return]
        "schema": "llmlab/support/1",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version,
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "doctor": doctor.report(),
        "last_error": _last_error(),
        "running": [{"kind": entry.kind, "what": entry.label, "in_use": entry.owner_alive} for entry in owned.entries()],
        "labs": _labs(),
    })  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the file, or print it."""
    found = report()
    if args.json:
        print_json(found)
        return 0
    path = Path(args.out or FILE)
    replace_file(path, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
    say(
        f"{path}: versions, what this machine has, the last error, what still runs. Read it before you send it."
    )
    return 0
