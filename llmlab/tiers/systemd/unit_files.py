"""What systemd itself says of a unit file on a machine: how exposed the service would be, and what it does not understand."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import LabError
from .machine import SystemdMachine


@dataclass(frozen=True, slots=True)
class Directive:
    """What `systemd-analyze security` says of one of its tests. `exposure`: its share of the total, None where it is well."""

    name: str
    description: str
    exposure: float | None

    @property
    def family(self) -> str:
        """The directive as one writes it in a unit: `CapabilityBoundingSet` of `CapabilityBoundingSet=~CAP_KILL`."""
        return self.name.partition("=")[0]


@dataclass(frozen=True, slots=True)
class Exposure:
    """A unit's exposure, 0 (none) to 10, and what each directive adds to it."""

    overall: float
    directives: tuple[Directive, ...]


def exposure(machine: SystemdMachine, unit: str) -> Exposure:
    """`systemd-analyze security --offline=yes` of a unit file on the machine, by its path.

    :raises LabError: when systemd cannot read it, with its words.
    """
    _, said = machine.run(f"systemd-analyze security --no-pager --offline=yes {unit} 2>&1 | tail -n 5")
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    if not found:
        raise LabError(f"systemd cannot read the unit:\n{said.strip()}", where=Path(unit).name)
    rows = json.loads(
        machine.run(f"systemd-analyze security --offline=yes --json=short {unit} 2>/dev/null")[1] or "[]"
    )
    return Exposure(
        float(found[1]),
        tuple(
            Directive(r["name"], r["description"], float(r["exposure"]) if r["exposure"] else None)
            for r in rows
        ),
    )


def complaints(machine: SystemdMachine, unit: str) -> list[str]:
    """What `systemd-analyze verify` says of a unit file on the machine, as `file:line: words`; empty: nothing.

    That a program is not there (yet) is not counted: it is installed later.
    """
    name = Path(unit).name
    # In a folder of its own, since verify also reads what lies beside a unit.
    said = machine.run(
        f"d=$(mktemp -d) && cp {unit} $d/ && cd $d && systemd-analyze verify --man=no ./{name} 2>&1; rm -rf $d"
    )[1]
    lines = [re.sub(r"^\S*/(?=[^/\s]+:\d+: )", "", line) for line in said.splitlines() if line.strip()]
    # What is installed already is read along with it; its lines are not this file's.
    other = re.compile(rf"(?!{re.escape(name)}:)\S+:\d+: ")
    return [line for line in lines if not other.match(line) and "is not executable: No such file" not in line]
