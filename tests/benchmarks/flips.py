"""How often a measured verdict is another one when the same submission is graded again: the flip rate.

A good submission of lab 01 (its worked server.toml) and a borderline one (the same with `ubatch-size = 2`: two requests
a step instead of four put its goodput near the 0.8 at which the check decides), graded in turn with none, two and four
busy loops beside them. Only the measured checks run, in the grader's own sandbox. A flip is a verdict other than the one
most gradings of that cell gave; `inconclusive` (which costs nobody points, and which a real batch measures once more) is counted for itself.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from llmlab import checks, engine, machine, models
from llmlab.course.info import read_info
from llmlab.grade.rules import read_rules
from llmlab.grade.sandbox import Sandbox, kind
from llmlab.records.stats import Spread

ROOT = Path(__file__).resolve().parents[2]
LAB = "01-one-server"
KNEE = 4
#: The borderline one is far from any limit of the knee's.
MEASURED = {"good": ("goodput", "knee"), "borderline": ("goodput",)}
BUSY = (0, 2, 4)  # busy loops beside the grader
#: Near the threshold, not on it: medians of 0.72 to 0.81 of the reference in three trials without loops (n = 3 to 10, two
#: cores, a noisy machine). With loops 0.74 to 0.89, so its true ratio may move with the load: read the ratios beside the
#: verdicts. A quota of 0.85 cores moved as well: 0.85, 1.01 and 0.87 with 0, 2 and 4 loops (n = 10).
BORDERLINE = "ubatch-size = 2"
WRITTEN = ROOT / "data" / "flips.json"
SPIN = "while True: pass"


@dataclass(slots=True)
class Cell:
    """One submission's verdicts by one check under one load."""

    verdicts: list[str] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)  # goodput only: the learner's share of the reference
    seconds: list[float] = field(default_factory=list)

    def counts(self) -> Counter[str]:
        """Verdict -> how often."""
        return Counter(self.verdicts)

    @property
    def flips(self) -> float:
        """The share of gradings (all of them) that passed where most failed, or failed where most passed."""
        counts = self.counts()
        return min(counts["passed"], counts["failed"]) / len(self.verdicts) if self.verdicts else 0.0


def flips(gradings: int, *, write: bool = False, busy: tuple[int, ...] = BUSY) -> list[str]:
    """The lines to print: `gradings` of each submission under each load, the loads in turn.

    :param write: keep the outcome in data/flips.json.
    """
    files = submissions()
    engine.find().flags()  # asked once, outside: every sandbox then finds the answer in the cache
    models.get("20m")
    cells: dict[tuple[str, int, str], Cell] = {}
    for turn in range(gradings):
        for load in busy[:: 1 if turn % 2 == 0 else -1]:
            with loops(load):
                for name in list(files)[:: 1 if turn % 2 == 0 else -1]:
                    outcomes = verdict(files[name], MEASURED[name], seed=turn)
                    for check in MEASURED[name]:
                        cell = cells.setdefault((name, load, check), Cell())
                        one = outcomes[check]
                        cell.verdicts.append(one.status)
                        cell.seconds.append(one.seconds)
                        if isinstance(ratio := one.data.get("ratio"), float):
                            cell.ratios.append(ratio)
        if write:  # each round, so that an interrupted one says how far it came
            WRITTEN.write_text(json.dumps(document(cells, turn + 1), indent=1) + "\n", encoding="utf-8")
    return table(cells, gradings)


def submissions() -> dict[str, str]:
    """Name -> its server.toml."""
    good = (ROOT / "solutions" / LAB / "server.toml").read_text(encoding="utf-8")
    return {"good": good, "borderline": good.replace("[flags]\n", f"[flags]\n{BORDERLINE}\n", 1)}


def verdict(server_toml: str, measured: tuple[str, ...], *, seed: int) -> checks.Result:
    """One grading: a sandbox of its own, a deployment of its own, the measured checks alone."""
    info = read_info(ROOT / "labs" / LAB)
    rules = read_rules(info.folder)
    with tempfile.TemporaryDirectory(prefix="llmlab-flips-") as folder:
        (Path(folder) / "server.toml").write_text(server_toml, encoding="utf-8")
        with Sandbox(lab=info.folder, allowance=rules.allowance, label="flips") as box:
            return checks.run(
                box.course / "labs" / LAB,
                Path(folder),
                artifacts=info.artifacts,
                answers={"knee": KNEE},
                seed=seed,
                only=(
                    "starts",
                    *measured,
                ),  # `goodput` needs a check that does not run here; that blocks nothing
                spawn=box.popen,
                wall=rules.checks,
                ready=rules.ready,
            )


@contextlib.contextmanager
def loops(many: int) -> Iterator[None]:
    """That many processes that keep a core busy each, at the usual priority; ended one by one."""
    processes = [subprocess.Popen([sys.executable, "-I", "-S", "-c", SPIN]) for _ in range(many)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def table(cells: dict[tuple[str, int, str], Cell], gradings: int) -> list[str]:
    """The outcome in lines."""
    lines = [f"flip rate, {gradings} gradings a cell, lab {LAB}, in {kind()}; borderline: {BORDERLINE}"]
    lines.append("  submission  busy  check    passed failed inconclusive other  flips  seconds")
    for (name, busy, check), cell in sorted(
        cells.items(), key=lambda item: (item[0][2], item[0][0], item[0][1])
    ):
        counts = cell.counts()
        other = len(cell.verdicts) - sum(counts[status] for status in ("passed", "failed", "inconclusive"))
        ratio = f" | ratio {Spread.of(cell.ratios)}" if cell.ratios else ""
        lines.append(
            f"  {name:10} {busy:5}  {check:8} {counts['passed']:6} {counts['failed']:6} {counts['inconclusive']:12}"
            f" {other:5} {cell.flips:6.0%}  {Spread.of(cell.seconds).median:6.1f}{ratio}"
        )
    return lines


def document(cells: dict[tuple[str, int, str], Cell], gradings: int) -> dict[str, Any]:
    """The outcome as data/flips.json keeps it."""
    return {
        "schema": "llmlab/flips/1",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine.describe().line,
        "engine": engine.find().line(),
        "sandbox": kind(),
        "lab": LAB,
        "borderline": BORDERLINE,
        "gradings": gradings,
        "cells": [
            {
                "submission": name,
                "busy": busy,
                "check": check,
                **{
                    status: cell.counts()[status]
                    for status in ("passed", "failed", "inconclusive", "skipped", "error")
                },
                "flips": round(cell.flips, 3),
                "seconds": round(Spread.of(cell.seconds).median, 2),
                "ratios": cell.ratios,
            }
            for (name, busy, check), cell in sorted(cells.items())
        ],
    }
