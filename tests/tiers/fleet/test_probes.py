"""A day counted: kept, late, refused, failed, and which failures an incident explains."""

from __future__ import annotations

import pytest

from llmlab.capacity.plan import Promise
from llmlab.records.schema import Sample
from llmlab.tiers.fleet import probes, replay
from llmlab.tiers.fleet.replay import ServerLoss

PROMISE = Promise(ttft_s=1.0, e2e_s=5.0, share=0.9, recovery_s=4.0)
LOST = [ServerLoss("s1", "killed", 20.0, 30.0)]


class Day:
    """What of a run is counted."""

    def __init__(self, *samples):
        self.samples = list(samples)


def served(at, *, ttft=0.2, whole=1.0):
    return Sample(
        n=0,
        scheduled=at,
        sent=at,
        first=at + ttft,
        last=at + whole,
        end=at + whole,
        status=200,
        completion_tokens=8,
    )


def refused(at, after=0.1, status=429):
    return Sample(n=0, scheduled=at, sent=at, end=at + after, status=status, error=f"HTTP {status}")


def cut(at, end=None):
    return Sample(n=0, scheduled=at, sent=at, first=at + 0.1, end=end, status=200, error="truncated")


def count(*samples, lost=LOST):
    return probes.day_of(Day(*samples), PROMISE, lost)


def test_each_request_is_one_of_four():
    found = count(
        served(1), served(2, ttft=1.5), served(3, whole=6), refused(4), refused(5, 1.4, 503), cut(21)
    )
    assert (found.requests, found.kept, found.late, found.refused, found.failed) == (6, 1, 2, 2, 1)
    assert found.share == pytest.approx(1 / 6)
    assert found.slowest_no_s == pytest.approx(1.4)


def test_a_failure_is_explained_by_an_incident_that_it_met_and_for_as_long_as_was_promised():
    assert count(cut(18, 20.5)).unseen == (), "under way when it was lost"
    assert count(cut(23)).unseen == (), "before the promise was over"
    assert count(cut(25)).unseen == pytest.approx((5.0,)), "later than promised"
    assert count(cut(10, 11)).unseen == (float("inf"),), "over before anything was lost"
    assert count(cut(23), lost=[]).unseen == (float("inf"),)


def test_the_bins_add_up():
    samples = [served(n) for n in range(0, 48, 2)] + [refused(10), cut(11), served(12, ttft=3)]
    rows = probes.bins(Day(*samples), PROMISE, 48.0)
    assert [row[0] for row in rows] == list(range(48))
    totals = [sum(row[n] for row in rows) for n in range(1, 6)]
    assert totals == pytest.approx([27, 26, 1, 1, 24])


def test_incidents_are_drawn():
    servers = ["s1", "s2", "s3"]
    drawn = replay.incidents(servers, 7, 240.0)
    assert drawn == replay.incidents(servers, 7, 240.0)
    assert len({repr(replay.incidents(servers, seed, 240.0)) for seed in range(20)}) == 20
    assert all(loss.restored - loss.broke >= 8 for loss in drawn)
    assert drawn[0].restored < drawn[1].broke
    assert {loss.how for seed in range(20) for loss in replay.incidents(servers, seed, 240.0)} == {
        "killed",
        "hung",
    }
