"""`llmlab cluster up --dry-run`: the commands of each driver, kept as text. `KEEP_PLANS=1` writes them anew, to be read in the diff."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from pathlib import Path

import pytest

from llmlab.cli.main import main
from llmlab.tiers.kubernetes import drivers
from llmlab.tiers.kubernetes.drivers import choose, network, simulated
from llmlab.tiers.kubernetes.programs import binaries

HERE = Path(__file__).parent
DRIVERS = {
    "local": {},
    "simulated": {"nodes": 2},
    "kind": {"nodes": 2},
    "context": {"context": "work", "namespace": "mine"},
}


@pytest.fixture
def settled(monkeypatch):
    """Nothing of this machine in the text: its programs, free networks and ports."""
    ports = itertools.count(40001)
    monkeypatch.setattr(network, "choosing", lambda: contextlib.nullcontext(network.Network(200)))
    monkeypatch.setattr(simulated, "free_port", lambda: next(ports))
    monkeypatch.setattr(binaries, "find", lambda name: Path("PROGRAMS", name))


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_commands_are_those_that_were_read(driver, settled):
    cluster, _ = choose.choose(driver, name="llmlab-abc123", **DRIVERS[driver])
    text = "\n".join(cluster.plan()) + "\n"
    for place, word in (
        (str(cluster.folder), "FOLDER"),
        (str(Path(drivers.__file__).parent), "DRIVERS"),
        (sys.executable, "PYTHON"),
    ):
        text = text.replace(place, word)
    kept = HERE / "plans" / f"{driver}.txt"
    if os.environ.get("KEEP_PLANS"):
        kept.write_text(text)
    assert text == kept.read_text()
    assert not cluster.folder.exists()


def test_the_command_line_prints_them_and_runs_none(settled, capsys):
    assert main(["cluster", "up", "--dry-run", "--driver", "simulated"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "# simulated, because you asked for it; nothing was run"
    assert sum(line.startswith("PROGRAMS/") for line in lines) == 7
    assert main(["cluster", "down", "--dry-run"]) == 1
    assert "has no dry run" in capsys.readouterr().err
