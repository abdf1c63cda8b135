"""What the programs of a routing wrote, as a notebook shows it, where the regions are a stand-in's."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llmlab.tiers.regions import notebook
from llmlab.tiers.regions.notebook import FILES, LiveRegions


class StandInGlobe:
    def __init__(self, **_) -> None:
        self.restored = self.closed = 0

    def restore(self) -> None:
        self.restored += 1

    def close(self) -> None:
        self.closed += 1


class StandInRouting:
    made: list[StandInRouting] = []  # noqa: RUF012

    def __init__(self, globe, files) -> None:
        self.made.append(self)
        self.wrote: list[str] = []
        self.closed = False

    def said(self) -> list[str]:
        return self.wrote

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def regions(monkeypatch, tmp_path):
    StandInRouting.made.clear()
    monkeypatch.setattr(notebook, "Globe", StandInGlobe)
    monkeypatch.setattr(notebook, "Routing", StandInRouting)
    return LiveRegions(SimpleNamespace(files=tmp_path, opened=[]))


def test_said_is_what_the_programs_wrote_since_the_files_are_in_force(regions):
    assert repr(regions.said()) == "nothing failed"
    (first,) = StandInRouting.made
    first.wrote = ["haproxy us: Server llama/1 is DOWN"]
    assert repr(regions.said()) == "haproxy us: Server llama/1 is DOWN"
    (regions.lab.files / FILES[0]).write_text("another")
    assert repr(regions.said()) == "nothing failed"  # by a routing of the new files
    assert first.closed
    assert len(StandInRouting.made) == 2
    assert regions.globe.restored == 3
    regions.close()
    assert regions.globe.closed == 1
