"""Which records stand beside a learner's own: those in data/recorded of the same model, and the learner's newest."""

from __future__ import annotations

from types import SimpleNamespace

import factory
import msgspec
import pytest

from llmlab.records import store
from llmlab.tiers.process.recorded import COMMAND, kept, own, recorded


@pytest.fixture
def course(tmp_path, monkeypatch):
    monkeypatch.setenv("LLMLAB_COURSE", str(tmp_path))
    monkeypatch.setenv("LLMLAB_STATE", str(tmp_path / "state"))
    return tmp_path


def lab(course):
    return SimpleNamespace(files=course / "labs/08-gpus", info=SimpleNamespace(name="08-gpus"), seed=0)


def put(path, *, model="20m", created="2026-12-01T00:00:00Z"):
    made = factory.sweep(repeats=1, concurrencies=(1, 2))
    servers = [factory.server(model=model)]
    return store.write(msgspec.structs.replace(made, servers=servers, created=created), path)


def test_where_nothing_was_recorded_it_says_how_to(course):
    said = recorded(lab(course))
    assert "No GPU has been recorded" in repr(said)
    assert COMMAND in repr(said)


def test_recorded_ones_are_drawn_beside_the_newest_of_lab_01(course):
    put(course / "data/recorded/nvidia-example/throughput-20m.json")
    put(course / "data/recorded/nvidia-example/slots-20m.json")
    records = course / "labs/01-one-server/records"
    put(records / "20261124T134000-load.json", created="2026-11-24T13:40:00Z")
    put(records / "20261125T134000-load.json", created="2026-11-25T13:40:00Z")
    put(records / "20261126T134000-load.json", model="200m")
    drawn = recorded(lab(course))
    assert len(drawn.data) == 2
    assert "Measured on 2026-11-25." in drawn.caption


def test_the_first_light_stands_in_for_a_lab_that_was_not_done(course):
    put(course / "state/first-light/record.json", created="2026-11-20T00:00:00Z")
    assert own(course, "20m").created.startswith("2026-11-20")
    assert own(course, "200m") is None


def test_a_record_that_cannot_be_read_or_is_of_another_model_is_left_out(course):
    folder = course / "data/recorded"
    put(folder / "one/throughput-20m.json")
    put(folder / "two/throughput-20m.json", model="200m")
    (folder / "three").mkdir()
    (folder / "three/throughput-20m.json").write_text("{")
    assert len(kept(folder, "20m")) == 1
