"""How quick a server of the fleet is: from the learner's record, or measured now."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from ...capacity import plan as plans
from ...capacity.calibrate import calibrate, calibration
from ...capacity.plan import HERE, ServicePlan
from ...capacity.speeds import Speeds
from ...errors import LabError
from ...load import Progress, measure
from ...load.target import target
from ...machine import profile
from ...records import store
from ...records.schema import Record
from .fleet import one_server

CALIBRATION = "calibration"  # the note of such a record


def calibration_in(plan: ServicePlan, folder: Path) -> Record | None:
    """The calibration that a plan stands on: the record that it names, else the newest one; None where there is none.

    :param folder: of the plan; `records/` lies in it.
    :raises LabError: when the record that it names is not there, or is no measurement of load.
    """
    if plan.speeds is None:
        newest = sorted((folder / "records").glob("*.json"), reverse=True)
        return next((found for path in newest if (found := _calibration(path)) is not None), None)
    path = folder / "records" / plan.speeds
    if not path.is_file() or Path(plan.speeds).name != plan.speeds:
        raise LabError(
            f"The plan stands on records/{plan.speeds}, and there is no such record.",
            where=f"{plans.NAME}: speeds",
            fix="fleet.calibrate(), and write the name of its record there",
        )
    named = store.read_any(path)
    if not isinstance(named, Record):
        raise LabError(
            f"records/{plan.speeds} is a table, and no measurement of load.",
            where=f"{plans.NAME}: speeds",
            fix="fleet.calibrate()",
        )
    return named


def _calibration(path: Path) -> Record | None:
    try:
        found = store.read_any(path)
    except LabError:
        return None
    return found if isinstance(found, Record) and found.note == CALIBRATION else None


def calibrated_now(
    slots: int,
    *,
    repeats: int | None = None,
    lab: str | None = None,
    on_event: Callable[[Progress], None] = lambda _: None,
) -> Record:
    """A server of the fleet's kind, alone, measured for what it takes to simulate it: a quarter of a minute each time."""
    times = repeats or (2 if profile() == "binder" else 3)
    with (
        tempfile.TemporaryDirectory(prefix="llmlab-calibration-") as folder,
        one_server(slots, Path(folder)) as server,
    ):
        return measure(
            target(server), calibration(slots), repeats=times, lab=lab, note=CALIBRATION, on_event=on_event
        )


def speeds_for(plan: ServicePlan, folder: Path, *, say: Callable[[str], None] = lambda _: None) -> Speeds:
    """The speeds that a plan stands on: of the learner's record; where none was kept or handed in, this machine's, measured now.

    :raises LabError: as `calibration_in`, or when the record cannot carry them.
    """
    record = calibration_in(plan, folder)
    if record is None:
        say("no calibration was kept: one server is measured, about a minute")
        record = calibrated_now(plan.tier[HERE].slots)
    return calibrate([record], accept_noise=True).speeds


def speeds_now(slots: int) -> Speeds:
    """The speeds of a server on this machine at this moment, however busy it is with other things."""
    return calibrate([calibrated_now(slots, repeats=1)], accept_noise=True).speeds
