"""A plan's servers behind its door: one that is killed or hangs is left out in time and taken back; a day in which that happens."""

from __future__ import annotations

import time

import numpy as np
import pytest

from llmlab.capacity.speeds import Speeds
from llmlab.capacity.trace import Trace, work
from llmlab.system.waiting import Late, wait
from llmlab.tiers.fleet.fleet import PlannedFleet
from llmlab.tiers.fleet.replay import BETWEEN, ServerLoss, incidents, replay, the_day

live = pytest.mark.needs("process", "regions")
FINE, LOST = 200, 0
DOOR = {"check_s": 0.3, "fall": 2, "max_queue": 20, "max_wait_s": 30.0}


@pytest.fixture(scope="module")
def fleet(plan):
    with PlannedFleet(plan(servers=2, slots=1, **DOOR)) as one:
        yield one


@pytest.fixture(autouse=True)
def _whole(request):
    yield
    if "fleet" in request.fixturenames:
        one = request.getfixturevalue("fleet")
        one.restore()
        one.ready()


def down(fleet) -> list[str]:
    return [said.split()[1].removeprefix("servers/") for said in fleet.door.said()]


@live
@pytest.mark.parametrize("how", ["kill", "hang"])
def test_a_server_that_is_lost_is_left_out_in_time_and_comes_back(how, fleet, ask):
    promised = fleet.plan.door.notices_s
    assert promised == pytest.approx(1.2)
    getattr(fleet, how)("s1")
    wait("s1 to be left out", lambda: down(fleet) == ["s1"], promised + 1)
    assert ask(fleet, 3).all() == [FINE] * 3, "the other one serves"
    fleet.restore("s1")
    fleet.ready()
    assert down(fleet) == []
    fleet.kill("s2")
    wait("s2 to be left out", lambda: down(fleet) == ["s2"], promised + 1)
    assert ask(fleet, 2).all() == [FINE] * 2, "s1 is taken back"


@live
def test_what_hangs_with_its_server_is_ended_when_the_door_notices(fleet, ask):
    fleet.hang("s1")
    begun = time.monotonic()
    asked = ask(fleet, 2)  # one each
    assert asked.so_far(2, within=fleet.plan.door.notices_s + 1.5) == [LOST, FINE]
    assert time.monotonic() - begun < 60, "not only when its client gives it up"


@live
def test_ready_says_who_is_not(fleet):
    fleet.kill("s2")
    wait("s2 to be left out", lambda: down(fleet), 5)
    with pytest.raises(Late, match=r"the door to take every server for up[\s\S]*servers/s2 is DOWN"):
        fleet.ready(within=0.2)


@live
def test_a_day_goes_on_while_a_server_is_lost(fleet):
    happening = [ServerLoss("s1", "killed", 1.0, 2.0), ServerLoss("s2", "hung", 4.0, 6.0)]
    times = np.arange(0, 9, 0.25)
    trace = Trace(times, np.full(len(times), 16), np.full(len(times), 4))
    heard = []
    record = replay(fleet, trace, happening, seed=3, timeout=20, on_event=heard.append, lab="14")
    samples = record.runs[0].samples
    assert [round(sample.scheduled, 2) for sample in samples] == times.tolist()
    assert record.note == "s1 killed 1.0–2.0 s; s2 hung 4.0–6.0 s"
    lost = [sample.scheduled for sample in samples if not sample.ok]
    assert all(4.0 - 1 <= at < 4.0 + fleet.plan.door.notices_s + 1 for at in lost), lost
    assert len(lost) <= 1, "what its one slot held"
    assert all(server.running for server in fleet.servers.values())
    assert heard
    assert not fleet.hung


# --- what is drawn from a seed -------------------------------------------------------------------------------------------------------


def test_incidents_are_drawn_from_the_seed_within_their_spans():
    servers = ["s1", "s2", "s3"]
    for length, lasts in ((240.0, 14.4), (90.0, 8.0)):
        drawn = [incidents(servers, seed, length) for seed in range(60)]
        for pair in drawn:
            for each, (first, last) in zip(pair, BETWEEN, strict=True):
                assert first * length <= each.broke <= last * length
                assert each.restored - each.broke == pytest.approx(lasts)
            assert pair[0].restored < pair[1].broke
            assert pair[1].restored < length
        flat = [each for pair in drawn for each in pair]
        assert {each.server for each in flat} == set(servers)
        assert {each.how for each in flat} == {"killed", "hung"}
    assert incidents(servers, 7, 240.0) == incidents(servers, 7, 240.0)
    assert incidents(servers, 7, 240.0) != incidents(servers, 8, 240.0)


def test_the_day_asks_for_the_load_of_the_plan(plan):
    speeds = Speeds(prefill=4000.0, step=(0.002, 0.003, 0.004, 0.005), overhead=0.001)
    trace = the_day(plan(), speeds, 5, length=60.0)
    assert float(work(trace, speeds).sum()) == pytest.approx(1.0 * 60, rel=0.1)
    assert trace.arrival_s[-1] <= 60.0
    again = the_day(plan(), speeds, 5, length=60.0)
    assert np.array_equal(trace.arrival_s, again.arrival_s)
