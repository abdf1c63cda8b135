"""What Terraform prints as JSON, line by line: diagnostics, how long each resource took, what a test said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """What Terraform objects to: its words, the file and line, and what the line refers to."""

    severity: str
    summary: str
    detail: str
    where: str  # file:line
    owner: str = ""  # the block it stands in, as `resource "aws_lb" "door"`

    def __str__(self) -> str:
        return f"{self.where}: {self.summary}. {' '.join(self.detail.split())}".strip(": ")


@dataclass(frozen=True, slots=True)
class Ran:
    """One finished run of Terraform: its exit code, and the events that it printed as JSON."""

    code: int
    events: list[dict[str, Any]]
    text: str

    @property
    def errors(self) -> list[Diagnostic]:
        """Its error diagnostics."""
        found = [event["diagnostic"] for event in self.events if event.get("type") == "diagnostic"]
        return [problem for problem in map(diagnostic, found) if problem.severity == "error"]


@dataclass(frozen=True, slots=True)
class Step:
    """One resource in an apply or a destroy: when it began and ended, seconds after the run began; `end` None: it did not."""

    address: str
    action: str
    begin: float
    end: float | None
    error: str = ""


@dataclass(slots=True)
class Tested:
    """What `terraform test` said: assertions by run, and what went wrong before any could be made."""

    runs: dict[str, str]  # file: run -> pass | fail | error | skip
    errors: list[Diagnostic] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """At least one run, and all of them passed."""
        return bool(self.runs) and all(run == "pass" for run in self.runs.values()) and not self.errors

    @property
    def caught(self) -> bool:
        """An assertion failed, rather than the configuration."""
        return any(run == "fail" for run in self.runs.values())


def diagnostic(message: Mapping[str, Any]) -> Diagnostic:
    """One of Terraform's diagnostics, from its JSON."""
    place = message.get("range") or {}
    where = f"{place['filename']}:{place['start']['line']}" if place else ""
    owner = (message.get("snippet") or {}).get("context") or ""
    return Diagnostic(
        message["severity"], message["summary"].rstrip("."), message.get("detail") or "", where, owner
    )


def steps(events: Sequence[Mapping[str, Any]]) -> list[Step]:
    """When each resource of an apply began and ended, in the order in which they began."""
    begun: dict[str, tuple[str, float]] = {}
    done: dict[str, tuple[float, str]] = {}
    zero: float | None = None
    for event in events:
        at = datetime.fromisoformat(str(event["@timestamp"])).timestamp() if "@timestamp" in event else 0.0
        zero = at if zero is None and at else zero
        hook = event.get("hook") or {}
        address = (hook.get("resource") or {}).get("addr", "")
        if event.get("type") == "apply_start":
            begun[address] = (hook["action"], at - (zero or 0))
        elif event.get("type") in ("apply_complete", "apply_errored"):
            done[address] = (at - (zero or 0), "" if event["type"] == "apply_complete" else event["@message"])
    return [
        Step(
            address,
            action,
            begin,
            done[address][0] if address in done else None,
            done.get(address, (0, ""))[1],
        )
        for address, (action, begin) in begun.items()
    ]


def parse(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The events among lines of output; what is no JSON is left out."""
    for line in lines:
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                continue
