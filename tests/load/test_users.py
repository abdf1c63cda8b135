"""Users who go on until they are told to stop, against a real server: their number changes, and what they lose is counted."""

from __future__ import annotations

import pytest

from llmlab.load.users import Users
from llmlab.serve import Server, Spec
from llmlab.system.waiting import wait

pytestmark = pytest.mark.needs("process")


def test_their_number_changes_and_everything_they_asked_is_kept(server: Server):
    with Users(server.url, 1, tokens=lambda n: 40 if n % 2 else 8) as them:
        wait("replies", lambda: len(them.samples) >= 3, 30)
        them.set(5)
        wait("five at once", lambda: them.open == 5, 30)
        them.set(0)
        wait("nobody", lambda: them.open == 0, 30)
        before = len(them.samples)
        samples = them.stop()
    assert len(samples) == before
    assert them.failed == []
    assert [sample.n for sample in samples] == list(range(len(samples)))
    assert {sample.completion_tokens for sample in samples} == {8, 40}
    assert all(sample.sent <= them.over[sample.n] <= them.now for sample in samples)


def test_a_server_that_ends_costs_each_of_them_what_it_had_begun():
    with (
        Server(Spec(model="tiny", flags={"parallel": 4, "ctx-size": 8192, "threads": 1})) as mine,
        Users(mine.url, 3, tokens=2000) as them,
    ):
        wait("three replies under way", lambda: them.open == 3, 30)
        mine.stop()
        wait("three losses and a fourth try", lambda: len(them.failed) >= 4, 30)
        them.set(0)
        samples = them.stop()
    assert sum((sample.error or "").startswith(("truncated", "connection lost")) for sample in samples) == 3
    assert any("connect" in (sample.error or "") for sample in samples)
