"""Recorded machines (tests/engine/machines) put on a PATH: an nvidia-smi and a llama-server that say what they said there."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

from llmlab import doctor
from llmlab.engine import cuda, nvidia, probe

FOLDER = Path(__file__).with_name("engine") / "machines"
MACHINES = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml"))}


def forget() -> None:
    """Ask this machine again."""
    cuda.forget()
    for kept in (probe._ask, nvidia.driver, doctor._tried):
        kept.cache_clear()


def script(path: Path, body: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def say(text: str) -> str:
    return f"cat <<'END'\n{text.strip()}\nEND\n"


def put(machine: dict, folder: Path) -> None:
    """The machine's nvidia-smi and its llama-server, on PATH."""
    smi = machine["smi"]
    if "error" in smi:
        script(folder / "nvidia-smi", f"{say(smi['error'])}exit {smi['code']}\n")
    else:
        refuse = ""
        if "unknown_field" in smi:
            field = smi["unknown_field"]
            refuse = f"*{field}*) echo 'Field \"{field}\" is not a valid field to query.'; exit 2;;\n"
        script(
            folder / "nvidia-smi",
            f'case "$*" in\n{refuse}--query-gpu=*) {say(smi["query"])};;\n--query*) {say(smi["head"])};;\n'
            f"--list-gpus) {say(smi['gpus'])};;\nesac\n",
        )
    told = machine["engine"]
    listed, _, available = told["devices"].partition("Available devices:")
    script(
        folder / "llama-server",
        "case \"$1\" in\n--version) echo 'version: 0.5.0 (build 11549, commit 0c1e570)';;\n--help) echo '-m, --model F   m';;\n"
        f"--list-devices) {{ {say(listed) if listed.strip() else ':'}\n}} >&2\n{say('Available devices:' + available)};;\n"
        f"--model) {{ {say(told['info'])}\n}} >&2; exit 1;;\nesac\n",
    )
