"""Where the time of the proof goes: the suite under a meter, by group (a lab, a file) and stage.

The machine is idle while a load balancer's fixed waits, TTLs, grace periods and rollouts pass; that share is what tests side by
side can win back. The critical path is the longest group: no number of workers is quicker than that one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

STAGES = {
    "test_papermill_runs_the_starter": "starter",
    "test_solution_passes": "solution",
    "test_each_fault": "faults",
}


def proof(words: list[str], *, workers: int, most: int = 30) -> Iterator[str]:
    """Run pytest on `words` (default: everything) and say where its time went.

    :param workers: 0 for one after the other, which alone tells whose the CPU was.
    """
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "meter.jsonl")
        line = [sys.executable, "-m", "pytest", "-q", "-p", "meter", "-n", str(workers), *words]
        code = subprocess.run(line, env=os.environ | {"LLMLAB_METER": str(file)}).returncode
        lines = [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []
    if not lines:
        yield f"pytest ended with code {code}; no test was metered"
        return
    yield f"pytest ended with code {code}; {len(lines)} tests"
    yield from table(lines, cores=cores, workers=workers, most=most)


def table(lines: list[dict], *, cores: int, workers: int, most: int) -> Iterator[str]:
    """The lines of the meter, added up: the longest rows first."""
    wall, cpu = defaultdict(float), defaultdict(float)
    groups = defaultdict(float)
    for line in lines:
        row = (line["group"], stage(line["test"]))
        wall[row] += line["wall"]
        cpu[row] += line["cpu"]
        groups[line["group"]] += line["wall"]
    yield f"{'group':34} {'stage':10} {'wall s':>8} {'CPU s':>8} {'idle':>6}"
    rows = sorted(wall, key=lambda row: -wall[row])
    for row in rows[:most]:
        yield f"{row[0][-34:]:34} {row[1]:10} {wall[row]:8.1f} " + (
            f"{cpu[row]:8.1f} {1 - cpu[row] / (cores * wall[row]):6.0%}"
            if not workers
            else f"{'-':>8} {'-':>6}"
        )
    rest = rows[most:]
    if rest:
        yield f"{f'and {len(rest)} more':34} {'':10} {sum(wall[row] for row in rest):8.1f} {sum(cpu[row] for row in rest):8.1f}"
    began, ended = min(line["began"] for line in lines), max(line["began"] + line["wall"] for line in lines)
    longest = max(groups, key=lambda group: groups[group])
    yield f"critical path: {longest}, {groups[longest]:.0f} s; sum of all tests {sum(groups.values()):.0f} s; wall {ended - began:.0f} s"


def stage(test: str) -> str:
    """Which part of a lab's proof a test is."""
    name = test.partition("::")[2]
    return next((word for start, word in STAGES.items() if name.startswith(start)), "")
