"""A pytest plugin for `python -m tests.benchmarks proof`: one JSON line a test, with its wall and what the machine did meanwhile.

`pytest -p meter` with LLMLAB_METER naming the file. With one worker the CPU is the test's own (and the noise of the machine);
with several, everybody's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from time import time

import psutil
import pytest
from groups import group_of

VARIABLE = "LLMLAB_METER"


def _busy() -> float:
    times = psutil.cpu_times()
    return sum(times[:8]) - times.idle - getattr(times, "iowait", 0.0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item, nextitem):
    began, busy = time(), _busy()
    done = yield
    line = {
        "test": item.nodeid,
        "group": group_of(item.nodeid),
        "worker": os.environ.get("PYTEST_XDIST_WORKER", ""),
        "began": round(began, 3),
        "wall": round(time() - began, 3),
        "cpu": round(_busy() - busy, 3),
    }
    with Path(os.environ[VARIABLE]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    return done
