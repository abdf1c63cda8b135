"""The plan's tier `here`, up, as a notebook handles it: `fleet = lab.fleet()`, `fleet.calibrate()`, `fleet.day().plot()`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....capacity import plan as plans
from ....capacity.calibrate import calibrate
from ....capacity.held_against import Pair, beyond, held_against
from ....capacity.plan import HERE, ServicePlan
from ....capacity.sizing import slo
from ....capacity.written_door import KEYS, NAME, WrittenDoor
from ....course import journal
from ....errors import LabError
from ....load import Progress
from ....plain import plain
from ....records import stats
from ....records.schema import Cell
from ....show.bars import steps_bar
from ....show.bench import alone
from ....show.face import Face
from ....show.kept import keep, store
from ....show.shown import Drawn, Said, shown
from .. import figures, probes, replay
from ..calibrated import calibrated_now, calibration_in
from ..compare import ERRORS, LARGEST, Comparison, compare, error_rows, largest_rows, said
from ..fleet import PlannedFleet
from ..forecasts import forecast
from ..measured import SHARES

if TYPE_CHECKING:
    from ....show.bench import Bench


GUIDE = Path(__file__).parents[1] / "guide.toml"


class LiveFleet(Face, what="The fleet", again="fleet = lab.fleet()"):
    """The servers and the door of plan.toml, up from the first call that needs them; anew when the file has changed.

    It ends with `lab.stop()`.
    """

    def __init__(self, lab: Bench) -> None:
        alone(lab, LiveFleet)
        self.lab = lab  # whose plan it is
        self._text = ""
        self._fleet: PlannedFleet | None = None
        self._played: Pair | None = None

    def _plan(self) -> tuple[ServicePlan, list[str]]:
        """The plan of the file; where it is none yet, the guide's smallest tier as a plan, and why."""
        try:
            return plans.read(self.lab.files / plans.NAME), []
        except LabError as error:
            return plans.read(GUIDE), [
                *error.lines(),
                "Until then one server is up, without a bound, as the guide has it.",
            ]

    def _now(self) -> tuple[ServicePlan, PlannedFleet]:
        """The fleet of the plan as the file is now, whole."""
        plan = self._plan()[0]
        text = repr(plan)
        if self._fleet is None or text != self._text:
            self._end()
            with steps_bar("step") as say:
                self._fleet = PlannedFleet(plan, say=say)
            self._text, self._fleet.told = text, self._told
        self._fleet.restore()
        self._fleet.ready()
        return plan, self._fleet

    def _told(self, server: str, how: str) -> None:
        if how == "back":
            journal.note(self.lab.files, "incident", restored=f"{server} is back")
        else:
            journal.note(self.lab.files, "incident", done=f"{server} {how}")

    @shown
    def calibrate(self) -> Said:
        """How fast one of these servers is, alone: about a minute. Its record is what the simulator knows of them."""
        plan = self._plan()[0]
        with steps_bar("step") as say:
            record = calibrated_now(plan.tier[HERE].slots, lab=self.lab.info.name, on_event=_heard(say))
        path = store(record, self.lab.files / "records")
        found = calibrate([record], accept_noise=True)
        speeds = found.speeds
        steps = ", ".join(f"{1000 * step:.1f}" for step in speeds.step)
        return Said(
            [
                f"prefill {speeds.prefill:,.0f} tokens/s ({found.spread['prefill']})",
                f"a decode step takes {steps} ms with 1 to {speeds.slots} slots busy; {1000 * speeds.overhead:.0f} ms besides",
                *found.remarks,
                f"record: {path.name}",
            ],
            {"prefill tokens/s": speeds.prefill, "step ms": 1000 * speeds.step[-1]},
        )

    @shown
    def day(self) -> Drawn:
        """The day of the tier `here`, replayed: four minutes, with two incidents that nobody announces."""
        plan, fleet = self._now()
        record = calibration_in(plan, self.lab.files)
        if record is None:
            raise LabError("Nothing is known of how fast your servers are.", fix="fleet.calibrate()")
        speeds, length = calibrate([record], accept_noise=True).speeds, replay.seconds()
        trace = replay.the_day(plan, speeds, self.lab.seed, length=length)
        happening = replay.incidents(list(fleet.servers), self.lab.seed, length)
        with steps_bar("step") as say:
            record = replay.replay(
                fleet,
                trace,
                happening,
                seed=self.lab.seed,
                on_event=_heard(say, length),
                lab=self.lab.info.name,
            )
        path = store(record, self.lab.files / "records")
        run = record.runs[0]
        self._played = Pair(
            servers=len(fleet.servers), record=record, simulated=forecast(plan, speeds, trace, happening)
        )
        found = probes.day_of(run, plan.promise, happening)
        columns = {
            "second": "of the replay",
            "offered": "requests/s",
            "admitted": "requests/s",
            "shed": "requests/s",
            "failed": "requests/s",
            "kept": "requests/s within the promise",
        }
        rows: list[list[Cell]] = probes.bins(run, plan.promise, length)
        table = keep(self.lab, "day", columns, rows, note=record.note or "")[0]
        lines = [
            f"{found.requests} requests: {found.kept} kept ({found.share:.1%}; promised {plan.promise.share:.0%}), {found.late} late, "
            f"{found.refused} told no, {found.failed} failed",
            f"incidents: {record.note}",
            f"record: {path.name}",
        ]
        values: dict[str, Cell] = {
            "kept percent": 100 * found.share,
            "told no percent": 100 * found.refused / max(1, found.requests),
            "failed": found.failed,
            "TTFT p95 s": stats.percentile(stats.ttft(run), 95),
        }
        return Drawn(table, figures.day, lines, values)

    @shown
    def against(self) -> Drawn:
        """The day that was replayed last, and the same day simulated with your calibration: how far off the simulator is."""
        if self._played is None:
            raise LabError("No day was replayed yet.", fix="day = fleet.day()")
        plan = self._plan()[0]
        held = held_against([self._played], slo(plan.promise))
        columns = {name: words for name, words in ERRORS.items() if name != "foreign"}
        rows: list[list[Cell]] = [
            [row["servers"], row["figure"], row["real"], row["simulated"], row["error"], 0]
            for row in held.dicts()
        ]
        table = keep(self.lab, "errors", columns, rows)[0]
        lines = [
            f"{row['figure']}: measured {row['real']:.3g}, simulated {row['simulated']:.3g} ({row['error']:+.0%})"
            for row in held.dicts()
            if row["error"] is not None
        ]
        off = beyond(held)
        lines.append(f"more than 15 % off: {'; '.join(off)}" if off else "all within 15 %")
        worst = max(
            (abs(float(row["error"])) for row in held.dicts() if row["error"] is not None), default=None
        )
        return Drawn(table, figures.errors, lines, {"largest error": worst})

    @shown
    def compare(
        self, servers: Sequence[int] = (1, 2, 3), seconds: float | None = None, repeats: int = 1
    ) -> Drawn:
        """Real servers and simulated ones, so many and so many of them, at a load that rises in four steps: errors, and what they carry.

        The fleet is deployed anew for it, without incidents. Each number of servers takes `seconds` (80; 40
        on Binder), `repeats` times, and a calibration.
        """
        plan, found = self._plan()[0], list[Comparison]()
        self._end()
        with steps_bar("step") as say:
            for each in compare(
                plan,
                servers=servers,
                seconds=seconds,
                repeats=repeats,
                seed=self.lab.seed,
                lab=self.lab.info.name,
                say=say,
                on_event=_heard(say),
            ):
                found.append(each)
                for record in (each.calibration, each.record):
                    store(record, self.lab.files / "records")
        rows, carried = error_rows(found), largest_rows(found, SHARES)
        table = keep(self.lab, "errors", ERRORS, rows)[0]
        keep(self.lab, "largest", LARGEST, carried)
        lines = said(found)
        for row in carried:
            count, share, load, low, high, guess = (row[place] for place in (0, 1, 4, 5, 6, 7))
            ends = f"more than {low:.2f}" if high is None else f"{load:.2f} [{low:.2f} to {high:.2f}]"
            simulated = "none" if guess is None else f"{guess:.2f}"
            lines.append(f"{share:.0%} kept with {count}: up to a load of {ends}; simulated {simulated}")
        worst = max((abs(row[4]) for row in rows if isinstance(row[4], float)), default=None)
        return Drawn(table, figures.errors, lines, {"largest error": worst})

    def close(self) -> None:
        """End it; may be called twice."""
        self._end()

    def _end(self) -> None:
        if self._fleet is not None:
            self._fleet.close()
            self._fleet = None

    def _lines(self) -> list[str]:
        plan, remarks = self._plan()
        tier, door = plan.tier[HERE], plan.door
        whose = f"HAProxy with your {NAME}" if isinstance(door, WrittenDoor) else "HAProxy"
        lines = [
            *remarks,
            f"{tier.servers[0]} llama-servers with {tier.slots} slots each (model 20m, one thread)",
            f"the door: {whose}, {door.policy}, {door.max_queue:,} may wait, for {door.max_wait_s:g} s at most",
            f"a server that hangs is left out after {door.notices_s:g} s at the latest",
        ]
        if isinstance(door, WrittenDoor) and door.word:
            said_by = ", ".join(f"{key} ({KEYS[key]})" for key in door.word)
            lines.append(f"not read from {NAME}, so the plan's own word stands: {said_by}")
        return lines

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return "<br>".join(plain(line) for line in self._lines())


def _heard(say: Callable[[str], None], length: float | None = None) -> Callable[[Progress], None]:
    """What tells of a load every five seconds."""
    last = [-5.0]

    def heard(progress: Progress) -> None:
        if progress.elapsed - last[0] >= 5 or progress.elapsed < last[0]:
            last[0] = progress.elapsed
            of = f" of {length:.0f}" if length and progress.phase == "run" else ""
            say(
                f"{progress.phase}, {progress.elapsed:.0f}{of} s: {progress.done} of {progress.total} requests, {progress.failed} failed"
            )

    return heard
