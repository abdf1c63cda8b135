"""How a lab is graded: the table `[grade]` of its `lab.toml`."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from ..course.info import where_in
from ..serve.spec import parse_size
from ..system import typed
from .cage import Allowance


@dataclass(frozen=True, slots=True)
class Rules:
    """What one submission may take. Times in seconds, memory and disk in bytes (`"2G"` in the file).

    `notebook` 0: the notebook is not run, and answers are read from its answer cells as they stand.
    """

    #: Seconds for the whole notebook, waiting for a turn to measure left out; 0: not run.
    notebook: float = 300.0
    answer: float = 20.0  # seconds for each answer cell
    checks: float = 300.0  # seconds for all checks together
    ready: float = 60.0  # seconds until what is deployed answers
    cpus: float = 2.0  # cores
    memory: int = 2 << 30  # of all its processes together: "2G", or bytes
    disk: int = 512 << 20  # that it may write: "512M", or bytes
    processes: int = 256  # at once
    build: float = 120.0  # seconds for each image that a container lab builds

    @property
    def allowance(self) -> Allowance:
        """The part that a sandbox enforces."""
        return Allowance(
            cpus=self.cpus, memory=self.memory, processes=self.processes, disk=self.disk, build=self.build
        )


Amount = Annotated[float, Meta(ge=0.1, le=86_400)]


class _Grade(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """The table. What is None is left out."""

    notebook: Annotated[float, Meta(ge=0, le=86_400)] | None = None
    answer: Amount | None = None
    checks: Amount | None = None
    ready: Amount | None = None
    cpus: Amount | None = None
    memory: str | int | None = None
    disk: str | int | None = None
    processes: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    build: Amount | None = None


def read_rules(lab: Path) -> Rules:
    """The rules of one lab; what its `[grade]` leaves out is as in `Rules`.

    :raises LabError: naming lab.toml, the line, the key, and how it is written.
    """
    path = lab / "lab.toml"
    text = path.read_text(encoding="utf-8")
    table: Any = tomllib.loads(text).get("grade", {})
    try:
        values = msgspec.to_builtins(typed.convert(table, _Grade))
    except typed.Trouble as trouble:
        trouble.at = ["grade", *trouble.at]
        usual = {field.name: f"{field.name} = {field.default:g}" for field in dataclasses.fields(Rules)}
        usual |= {"memory": 'memory = "2G"', "disk": 'disk = "512M"', "grade": "[grade]\n         ready = 60"}
        raise trouble.error("lab.toml", where_in(path, text, trouble.at), usual) from None
    for key in {"memory", "disk"} & set(values):
        values[key] = parse_size(values[key], where=where_in(path, text, ["grade", key]))
    return Rules(**values)
