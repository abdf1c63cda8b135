"""How a lab is graded: the table `[grade]` of its `lab.toml`."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import LabError
from ..serve.spec import parse_size
from .cage import Allowance


@dataclass(frozen=True, slots=True)
class Rules:
    """What one submission may take. Times in seconds, memory and disk in bytes (`"2G"` in the file).

    `notebook` 0: the notebook is not run, and answers are read from its answer cells as they stand.
    """

    notebook: float = 300.0  # the whole notebook; waiting for a turn to measure does not count
    answer: float = 20.0  # each answer cell
    checks: float = 300.0  # all checks together
    ready: float = 60.0  # until what is deployed answers
    cpus: float = 2.0
    memory: int = 2 << 30
    disk: int = 512 << 20
    processes: int = 256
    build: float = 120.0  # seconds for each image that a container lab builds

    @property
    def allowance(self) -> Allowance:
        """The part that a sandbox enforces."""
        return Allowance(
            cpus=self.cpus, memory=self.memory, processes=self.processes, disk=self.disk, build=self.build
        )


_SIZES = ("memory", "disk")


def read_rules(lab: Path) -> Rules:
    """The rules of one lab; what its `[grade]` leaves out is as in `Rules`.

    :raises LabError: naming lab.toml, the key, and how it is written.
    """
    path = lab / "lab.toml"
    table: Any = tomllib.loads(path.read_text(encoding="utf-8")).get("grade", {})
    if not isinstance(table, dict):
        raise LabError("grade should be a table.", where=str(path), fix="[grade]\n         ready = 60")
    known = {name: getattr(Rules(), name) for name in Rules.__dataclass_fields__}
    values: dict[str, Any] = {}
    for key, value in table.items():
        where = f"{path}: grade.{key}"
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            fix = f"did you mean {near[0]}?" if near else "its keys are " + ", ".join(known)
            raise LabError(f"[grade] has no key {key!r}.", where=where, fix=fix)
        if key in _SIZES:
            values[key] = parse_size(value, where=where)
            continue
        lowest = 0 if key == "notebook" else 0.1
        if isinstance(value, bool) or not isinstance(value, int | float) or not lowest <= value <= 86_400:
            raise LabError(f"[grade] {key} is {value!r}.", where=where, fix=f"{key} = {known[key]:g}")
        values[key] = type(known[key])(value)
    return Rules(**values)
