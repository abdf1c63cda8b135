"""What somebody with a GPU has recorded for the course (`data/recorded`), beside what the learner's own machine has measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import LabError
from ...records import store
from ...records.schema import Record
from ...show.shown import Said
from ...system.paths import course_dir, state_dir

if TYPE_CHECKING:
    from ...figures import Picture
    from ...show.bench import Bench

COMMAND = "uv run python -m tests.benchmarks gpu --write"


def recorded(lab: Bench, model: str = "20m") -> Picture | Said:
    """Throughput and TTFT of this machine and of each recorded GPU, on one figure; where none was recorded, how to record one.

    This machine's part is the newest load of the lab of one server, else the first light of `llmlab`, of the same model.
    """
    from ...figures.recorded import recorded as draw

    others = kept(course_dir(lab.files) / "data" / "recorded", model)
    if not others:
        return Said(
            [
                "No GPU has been recorded for this course yet.",
                f"Whoever has one: {COMMAND} makes the records.",
            ]
        )
    try:
        return draw(own(course_dir(lab.files), model), others)
    except LabError as error:
        return Said(error.lines())


def kept(folder: Path, model: str) -> list[Record]:
    """The records of throughput in `folder`, one a machine, of this model; one that cannot be read is left out."""
    return [
        record
        for path in sorted(folder.glob(f"*/throughput-{model}.json"))
        if (record := _read(path, model)) is not None
    ]


def own(course: Path, model: str) -> Record | None:
    """What this machine has measured of the model in a closed loop; None: nothing yet."""
    found = sorted(course.glob("labs/01-*/records/*-load.json"), reverse=True)
    for path in [*found, state_dir() / "first-light" / "record.json"]:
        record = _read(path, model)
        if record is not None and any(run.plan.pattern == "closed" and run.samples for run in record.runs):
            return record
    return None


def _read(path: Path, model: str) -> Record | None:
    try:
        record = store.read(path)
    except LabError:
        return None
    return record if {server.model for server in record.servers} == {model} else None
