"""What was recorded elsewhere beside what was measured here: which is which is said in the figure, its words and its numbers."""

from __future__ import annotations

import factory
import msgspec
import pytest

from llmlab.errors import LabError
from llmlab.figures.recorded import recorded
from llmlab.records import stats
from llmlab.records.schema import Device

# Made up: what is tried is the drawing. No GPU was recorded yet.
GPU = Device(
    asked="cuda",
    used="cuda",
    name="CUDA0: NVIDIA Example (9000 MiB, 8000 MiB free)",
    driver="570.1",
    cuda="12.8",
)


def elsewhere():
    made = factory.sweep(single=9000.0)
    return msgspec.structs.replace(made, servers=[factory.server(device=GPU)], created="2026-12-01T00:00:00Z")


def test_each_line_says_whose_it_is_and_each_has_its_caption():
    drawn = recorded(factory.sweep(), [elsewhere()])
    assert list(drawn.data) == ["yours (CPU)", "recorded: NVIDIA Example"]
    assert [line["recorded"] for line in drawn.data.values()] == [False, True]
    mine, _, theirs = drawn.caption.partition("Recorded: NVIDIA Example:")
    assert "AMD EPYC 7763" in mine
    assert "CPU" in mine
    assert "Driver 570.1, CUDA 12.8. Measured on 2026-12-01." in theirs
    assert "Yours (CPU):" in drawn.alt
    assert "Recorded: NVIDIA Example:" in drawn.alt


def test_its_numbers_are_those_of_the_records():
    own, other = factory.sweep(), elsewhere()
    drawn = recorded(own, [other])
    for line, record in zip(drawn.data.values(), (own, other), strict=True):
        single = [stats.tokens_per_second(run) for run in record.runs if run.plan.concurrency == 1]
        assert line["tokens_per_second"][0] == pytest.approx(sorted(single)[1])
        assert line["x"] == [1, 2, 4, 8, 16]


def test_without_a_measurement_of_ones_own_only_the_recorded_is_drawn():
    assert list(recorded(None, [elsewhere()]).data) == ["recorded: NVIDIA Example"]
    with pytest.raises(LabError, match="Nothing to draw"):
        recorded(None, [])


def test_a_recorded_cpu_is_called_by_its_name():
    assert list(recorded(None, [factory.sweep()]).data) == ["recorded: AMD EPYC 7763"]
