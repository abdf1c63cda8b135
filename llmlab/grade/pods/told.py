"""What a pod has told, as the place where a submission was graded: everything after that is the same as on this machine."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ...checks.talk import Ended, Event
from ...load.turn import Turn
from ...submissions.submission import Taken
from ..cage import Allowance
from ..view import COURSE, WORK
from .handover import NEVER
from .transcript import Log

POD = "pod"


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The last that a pod says, of itself."""

    memory: bool = False  # the kernel killed something of the checks' for want of memory
    cpu: float = 0.0  # seconds, of its checks
    seconds: float = 0.0  # that they took
    busy: float = 0.0  # CPU seconds that the node worked meanwhile
    holds: str = ""  # what holds it, in words


class _Ending(msgspec.Struct, frozen=True):
    ended: Ended
    memory: bool = False
    cpu: float = 0.0


@dataclass(slots=True)
class Told:
    """One pod's words. What it never said of (it was killed) is as if its process had ended."""

    whole: bool = False  # all of it has come
    fingerprint: str = ""  # of the submission that it is about
    cells: list[str] = field(default_factory=list)  # ids of the cells that ran, in their order
    told: list[Event] = field(default_factory=list)  # by the notebook
    notebook: _Ending = field(default_factory=lambda: _Ending(NEVER))  # how that ended
    checked: list[Event] = field(default_factory=list)  # by the checks
    checks: Ended = NEVER  # how these ended
    facts: PodFacts = field(default_factory=PodFacts)  # of the pod

    @classmethod
    def read(cls, lines: Iterable[bytes], token: str) -> Told:
        """What the lines of a pod's log say, as far as they can be believed."""
        told, log = cls(), Log(token)
        for part in log.parts(lines):
            told._add(part)
        told.whole = log.whole
        return told

    def _add(self, part: dict[str, Any]) -> None:
        kind = part.pop("part")
        if kind == "parcel":
            self.fingerprint, self.cells = part["fingerprint"], part["cells"]
        elif kind == "cell":
            self.told.append(part["event"])
        elif kind == "notebook":
            self.notebook = msgspec.convert(part, _Ending)
        elif kind == "check":
            self.checked.append(part["event"])
        elif kind == "checks":
            self.checks = msgspec.convert(part["ended"], Ended)
        elif kind == "pod":
            self.facts = msgspec.convert(part, PodFacts)


@dataclass(frozen=True, slots=True)
class ToldLimits:
    """What stood round one step."""

    used: float  # CPU seconds
    memory: bool  # the kernel killed something for want of it

    def cpu_seconds(self) -> float:
        """CPU time of all that ran in it."""
        return self.used

    def out_of_memory(self) -> bool:
        """Whether the kernel killed something in it for going over the memory limit."""
        return self.memory


class ToldBox:
    """One step that ran in a pod."""

    kind = POD  # what held it
    course = COURSE  # as what ran there saw it
    work = WORK  # likewise

    def __init__(
        self,
        events: Sequence[Event],
        ended: Ended,
        cage: ToldLimits,
        *,
        allowance: Allowance,
        line: str,
        cells: Sequence[str] = (),
    ) -> None:
        self.cage = cage
        self.allowance = allowance
        self.line = line
        self.outlived: list[str] = []  # a container ends with everything in it
        self._events, self._ended, self._cells = events, ended, cells

    def popen(self, arguments: Sequence[str], cwd: Path | None = None) -> subprocess.Popen[bytes]:
        """Nothing is started here: `talk` tells what was."""
        return None  # type: ignore[return-value]

    def talk(
        self,
        process: subprocess.Popen[bytes],
        order: Event,
        *,
        on_event: Callable[[Event], None],
        wall: float | None = None,
        turn: Turn | None = None,
    ) -> Ended:
        """Tell it again; the ids of a notebook's cells are this order's."""
        ids = dict(zip(self._cells, (cell["id"] for cell in order.get("cells", ())), strict=False))
        for event in self._events:
            here = {"id": ids.get(str(event.get("id")))} if event["event"] == "cell" else {}
            on_event(event | here)
        return self._ended


class ToldPlace:
    """The pod that it was graded in."""

    def __init__(self, told: Told) -> None:
        self.told = told

    def apart(self, *, containers: bool) -> bool:
        """Always: they run in containers of their own."""
        return True

    def ready(self, taken: Taken) -> None:
        """It has run already."""

    @contextlib.contextmanager
    def notebook(
        self, lab: Path, allowance: Allowance, *, read: Sequence[Path], env: Mapping[str, str], label: str
    ) -> Iterator[ToldBox]:
        """Where the learner's cells ran."""
        told = self.told
        cage = ToldLimits(told.notebook.cpu, told.notebook.memory)
        yield ToldBox(told.told, told.notebook.ended, cage, allowance=allowance, line="", cells=told.cells)

    @contextlib.contextmanager
    def checks(self, lab: Path, allowance: Allowance, *, containers: bool, label: str) -> Iterator[ToldBox]:
        """Where what was handed in was deployed and checked."""
        told = self.told
        cage = ToldLimits(told.facts.cpu, told.facts.memory)
        yield ToldBox(told.checked, told.checks, cage, allowance=allowance, line=_line(told))


def _line(told: Told) -> str:
    holds = told.facts.holds or "it was killed before it could say what held it"
    return (
        "pod: Pod Security restricted, cells and checks as two users in two containers, one after the other; "
        f"limits on cpus, memory, processes, disk; {holds}"
    )
