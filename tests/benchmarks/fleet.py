"""The simulator beside real servers: 1, 2 and 3 of them behind the worked plan's door, each number with a calibration of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from llmlab.capacity import plan as plans
from llmlab.show.kept import store
from llmlab.system.paths import course_dir
from llmlab.tiers.fleet.compare import LARGEST, compare, largest_rows, said

SERVERS = (1, 2, 3)
SHARES = (0.9, 0.95, 0.99)


def fleet(seconds: float, repeats: int, keep: Path | None) -> Iterator[str]:
    """The errors of the simulator, and the largest load that each number of servers carried, by simulation too."""
    plan = plans.read(course_dir() / "solutions" / "14-capstone" / plans.NAME)
    yield f"fleet: {seconds:g} s of a rising load, {repeats} times, at {SERVERS} servers of {plan.tier[plans.HERE].slots} slots"
    found = []
    for each in compare(plan, servers=SERVERS, seconds=seconds, repeats=repeats):
        found.append(each)
        speeds = each.speeds
        yield (
            f"  {each.servers} busy: prefill {speeds.prefill:,.0f} tokens/s, a step {', '.join(f'{1000 * step:.2f}' for step in speeds.step)} ms, "
            f"{1e6 * speeds.attend:.1f} µs a token of context, overhead {1000 * speeds.overhead:.1f} ms; {len(each.stairs.trace)} requests"
        )
        if keep is not None:
            yield f"  kept: {store(each.calibration, keep)}, {store(each.record, keep)}"
    yield from (f"  {line}" for line in said(found))
    yield "  the largest load that kept the promise:"
    yield "  " + ", ".join(LARGEST)
    for row in largest_rows(found, SHARES):
        yield "  " + ", ".join(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row)
