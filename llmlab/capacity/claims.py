"""The learner's claims: each a number with its unit, and the record of theirs that it stands on."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta, Struct

from ..errors import LabError
from ..records import stats, store
from ..records.schema import Record, Run, Table
from ..system import typed

NAME = "answers.toml"
EVEN = 0.02  # of a figure without a spread of its own: how exactly it has to be told
#: What can be read of one run of a load, and in which unit.
OF_RUN = {
    "tokens per second": "tokens/s",
    "TTFT p50": "s",
    "TTFT p95": "s",
    "end to end p50": "s",
    "end to end p95": "s",
    "requests": "requests",
    "failed": "requests",
}


class StatedClaim(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One claim. `says` is for a human to read; the number is checked."""

    topic: str
    says: str
    value: float
    unit: str
    record: str  # a file below records/
    of: str  # which figure: a column of a table, or one of `OF_RUN`
    where: dict[str, str | float | int] = {}  # of a table: only rows with these values
    run: Annotated[int, Meta(ge=0)] | None = None  # of a load: which run, from 0; None: all of them


class _Answers(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    claim: list[StatedClaim]


EXAMPLES = {
    "claim": '[[claim]]\ntopic = "Cost optimization techniques"',
    "value": "value = 0.46",
    "unit": 'unit = "dollars"',
    "record": 'record = "20261130T101500123-costs.json"',
    "of": 'of = "dollars"',
    "where": 'where = { plan = "always on" }',
}


@dataclass(frozen=True, slots=True)
class Figure:
    """What a record says: the median, and the least and greatest that it holds of it."""

    median: float
    low: float
    high: float
    n: int
    unit: str

    def agrees(self, value: float) -> bool:
        """Whether a number is this figure, within its own spread; one without a spread, within `EVEN`."""
        slack = EVEN * max(abs(self.low), abs(self.high))
        return self.low - slack <= value <= self.high + slack

    def __str__(self) -> str:
        spread = f" [{self.low:.4g} to {self.high:.4g}], n = {self.n}" if self.n > 1 else ""
        return f"{self.median:.4g} {self.unit}{spread}"


def read(path: Path) -> list[StatedClaim]:
    """The claims of answers.toml.

    :raises LabError: when it is none: with the line, and what should stand there.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return list(typed.convert(tomllib.loads(text), _Answers).claim)
    except FileNotFoundError:
        raise LabError(
            f"There is no {NAME}.", where=NAME, fix="lab.reset() brings the first one back"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LabError(f"{NAME} cannot be read: {error}.", where=NAME) from None
    except typed.Trouble as trouble:
        line = typed.toml_line(text, trouble.at)
        raise trouble.error(NAME, f"{NAME}:{line}" if line else NAME, EXAMPLES) from None


def figure(claim: StatedClaim, folder: Path) -> Figure:
    """What the record of a claim says.

    :param folder: `records/`.
    :raises LabError: no such record, or no such figure in it; with what there is.
    """
    path = folder / claim.record
    if not path.is_file() or path.parent != folder:
        there = sorted(found.name for found in folder.glob("*.json"))[-5:]
        raise LabError(
            f"There is no records/{claim.record}.",
            where=f"{NAME}: {claim.topic}",
            fix="the newest are " + ", ".join(there) if there else "measure it, and name its record",
        )
    record = store.read_any(path)
    return _of_table(claim, record) if isinstance(record, Table) else _of_load(claim, record)


def _of_table(claim: StatedClaim, table: Table) -> Figure:
    names = list(table.columns)
    for name in (claim.of, *claim.where):
        if name not in names:
            raise LabError(
                f"records/{claim.record} has no column {name!r}.",
                where=f"{NAME}: {claim.topic}",
                fix="one of " + ", ".join(names),
            )
    rows = [
        row
        for row in table.rows
        if all(row[names.index(name)] == value for name, value in claim.where.items())
    ]
    values = [row[names.index(claim.of)] for row in rows]
    numbers = [
        float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    if not numbers:
        raise LabError(
            f"records/{claim.record} has no number in {claim.of!r} where {claim.where or 'there are rows'}.",
            where=f"{NAME}: {claim.topic}",
        )
    return _spread(numbers, table.columns[claim.of])


def _of_load(claim: StatedClaim, record: Record) -> Figure:
    if claim.of not in OF_RUN:
        raise LabError(
            f"Of a load there is no {claim.of!r}.",
            where=f"{NAME}: {claim.topic}",
            fix="one of " + ", ".join(OF_RUN),
        )
    if claim.run is not None and claim.run >= len(record.runs):
        raise LabError(
            f"records/{claim.record} has {len(record.runs)} runs.",
            where=f"{NAME}: {claim.topic}",
            fix="run = 0",
        )
    runs = record.runs if claim.run is None else [record.runs[claim.run]]
    numbers = [value for run in runs if (value := _read(claim.of, run)) is not None]
    if not numbers:
        raise LabError(f"Nothing in records/{claim.record} was answered.", where=f"{NAME}: {claim.topic}")
    return _spread(numbers, OF_RUN[claim.of])


def _read(of: str, run: Run) -> float | None:
    match of.rsplit(" p", 1):
        case ["TTFT", percent]:
            return stats.percentile(stats.ttft(run), float(percent))
        case ["end to end", percent]:
            return stats.percentile(stats.e2e(run, "scheduled"), float(percent))
    if of == "tokens per second":
        return stats.tokens_per_second(run)
    return float(len(run.samples) if of == "requests" else len(stats.failed(run)))


def _spread(numbers: list[float], unit: str) -> Figure:
    return Figure(float(np.median(numbers)), min(numbers), max(numbers), len(numbers), unit)
