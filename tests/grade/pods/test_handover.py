"""What the cells' container leaves for the checks', however it was damaged."""

from __future__ import annotations

import os
import random

import pytest

from llmlab.checks.talk import Ended
from llmlab.grade.pods import handover

CELL = {"event": "cell", "id": "a", "status": "ok", "outputs": [], "count": 1, "seconds": 0.1}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "told"
    with handover.writing(path) as left:
        left.event(CELL)
        left.end(Ended("end", 0, "noise"), cpu_seconds=1.5)
    return path


def test_what_was_left_is_found(path):
    found = handover.read(path)
    assert (found.events, found.ended, found.cpu_seconds) == ([CELL], Ended("end", 0, "noise"), 1.5)


def test_a_container_that_is_started_again_leaves_nothing_over_it(path):
    with pytest.raises(FileExistsError), handover.writing(path):
        pass


@pytest.mark.parametrize("kept", [0, 3, 40, 110])
def test_a_container_that_was_killed_has_left_what_came_before(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    found = handover.read(path)
    assert found.ended == handover.NEVER
    assert found.events in ([], [CELL])


def test_nothing_is_followed_and_nothing_is_waited_for(path, tmp_path):
    link, pipe = tmp_path / "link", tmp_path / "pipe"
    link.symlink_to(path)
    os.mkfifo(pipe)
    for name in (link, pipe, tmp_path, tmp_path / "absent"):
        assert handover.read(name) == handover.Left()


@pytest.mark.parametrize("content", [b"{}", b"\x78\x9c" + bytes(100), random.Random(2).randbytes(5000)])
def test_what_is_none_of_ours_is_nothing(path, content):
    path.write_bytes(content)
    assert handover.read(path) == handover.Left()


def test_cells_that_a_log_cannot_hold_lose_their_outputs_and_say_so():
    def cell(name, size):
        text = random.Random(size).randbytes(size).hex()
        return CELL | {"id": name, "outputs": [{"output_type": "stream", "name": "stdout", "text": text}]}

    events = [cell("small", 100), cell("large", 200_000), cell("larger", 300_000)]
    assert handover.bounded(events) == events
    kept = handover.bounded(events, 250_000)
    assert kept[:2] == events[:2]
    (output,) = kept[2]["outputs"]
    assert "were left out" in output["text"]
    assert kept[2]["status"] == "ok"
