"""A learner's folder of the capstone with a record of each kind, for the tests of the certificate and for looking at one."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import msgspec
from factory import table

from llmlab.course.info import find_lab
from llmlab.course.journal import Noted
from llmlab.lab import Lab
from llmlab.records import store

COURSE = Path(__file__).resolve().parents[2]
INFO = find_lab("14", COURSE)
CREATED = "2026-11-30T20:00:00.000+00:00"
HOSTILE = '<script>alert("x")</script><img src=x onerror=alert(1)>'


def day():
    """Sixty bins of a day with one incident."""
    rows = []
    for n in range(60):
        offered = 6 * (1 - 0.6 * math.cos(n / 10))
        admitted = min(offered, 8.0)
        rows.append([4.0 * n, offered, admitted, offered - admitted, 0.0, 0.95 * admitted])
    note = "s2 killed 82.4–96.8 s; s1 hung 158.0–172.4 s"
    return table("day", "second offered admitted shed failed kept", rows, note)


def errors():
    """One replay of three servers."""
    names = [f"{what} {share}" for what in ("TTFT", "end to end") for share in ("p50", "p95", "p99")]
    rows = [[3, name, 1.0, 1.0 + 0.04 * n, 0.04 * n, 0] for n, name in enumerate(names)]
    return table("errors", "servers measure real simulated error repeat", rows)


def learner(folder: Path, *, says: str = "") -> Lab:
    """The worked plan as a learner has it: own records of each kind, points of a check, a guess and what was measured.

    :param says: put into the first claim instead of what it says.
    """
    skip = shutil.ignore_patterns("starter", "lab.py")
    shutil.copytree(INFO.solution, folder, ignore=skip)
    for kind, made in (("day", day()), ("errors", errors())):
        store.write(msgspec.structs.replace(made, created=CREATED), folder / "records" / f"{kind}.json")
    if says:
        path = folder / "answers.toml"
        text = path.read_text()
        start = text.index('says = "') + 8
        path.write_text(text[:start] + says.replace('"', '\\"') + text[text.index('"\n', start) :])
    notes = [
        Noted(at="2026-11-30T19:00:00+00:00", what="kept_percent", predicted=99),
        Noted(at="2026-11-30T19:05:00+00:00", what="kept_percent", predicted=99, observed=97.3),
    ]
    lines = b"".join(msgspec.json.encode(note) + b"\n" for note in notes)
    (folder / "records" / "journal.jsonl").write_bytes(lines)
    state = {"best": 33.0, "points": 33.0, "passed": False, "checked": "2026-11-30T19:30:00+00:00"}
    (folder / ".llmlab").mkdir()
    (folder / ".llmlab" / "progress.json").write_text(json.dumps(state))
    return Lab(INFO, folder)
