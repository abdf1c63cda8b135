"""The door of a plan: HAProxy takes its file; who finds no slot waits, is told 429 or 503; nobody waits beside a free slot."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from llmlab.errors import LabError
from llmlab.serve.ports import free_port
from llmlab.system.waiting import Late
from llmlab.tiers.fleet import door
from llmlab.tiers.fleet.fleet import PlannedFleet
from llmlab.tiers.regions import programs

FULL, LATE, FINE = 429, 503, 200


@pytest.mark.needs("regions")
@pytest.mark.parametrize("policy", door.BALANCE)
@pytest.mark.parametrize(
    "more", [{}, {"max_queue": 0}, {"max_wait_s": 1e-5, "check_s": 0.1, "fall": 20}], ids=str
)
def test_haproxy_takes_it_without_a_word(policy, more, plan, tmp_path):
    path = tmp_path / "door.cfg"
    path.write_text(door.config(plan(policy=policy, **more).door, 4, {"s1": 8081, "s2": 8082}))
    done = subprocess.run(
        [*programs.haproxy(), "-c", "-f", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={"BIND": f"127.0.0.1:{free_port()}", "PATH": "/usr/bin:/bin"},
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "[WARNING]" not in said
    assert "[ALERT]" not in said


@pytest.mark.parametrize("policy", door.LACKS)
def test_a_policy_that_it_has_not_is_refused_in_words_before_anything_starts(policy, plan):
    with pytest.raises(LabError) as caught:
        door.config(plan(policy=policy).door, 4, {})
    assert caught.value.what == f"The door on this machine has no policy {policy!r}: {door.LACKS[policy]}."
    assert caught.value.fix == 'policy = "round_robin" or "least_connections"'
    with pytest.raises(LabError, match="has no policy"):
        PlannedFleet(plan(policy=policy))


def test_a_wait_of_less_than_a_millisecond_is_not_one_without_end(plan):
    assert "timeout queue 1ms" in door.config(plan(max_wait_s=1e-5).door, 4, {})


@pytest.mark.needs("process", "regions")
def test_one_waits_until_it_is_told_503_and_the_next_is_told_429(plan, ask):
    with PlannedFleet(plan(servers=1, slots=2, max_queue=1, max_wait_s=0.6)) as fleet:
        fleet.hang("s1")
        asked = ask(fleet, 4)
        assert asked.so_far(1) == [FULL]
        assert asked.so_far(2) == [FULL, LATE]
        fleet.restore()
        assert asked.all() == [FINE, FINE, FULL, LATE]


@pytest.mark.needs("process", "regions")
def test_who_waits_is_served_when_a_slot_is_free_again(plan, ask):
    with PlannedFleet(plan(servers=1, slots=1, max_queue=3, max_wait_s=50)) as fleet:
        fleet.hang("s1")
        asked = ask(fleet, 6)
        assert asked.so_far(2) == [FULL, FULL]
        fleet.restore()
        assert asked.all() == [FINE] * 4 + [FULL] * 2


@pytest.mark.needs("process", "regions")
@pytest.mark.parametrize("policy", door.BALANCE)
def test_without_a_queue_nobody_waits_and_everybody_gets_in_while_a_slot_is_free(policy, plan, ask):
    with PlannedFleet(plan(servers=3, slots=2, max_queue=0, policy=policy)) as fleet:
        for _ in range(3):
            for name in fleet.servers:
                fleet.hang(name)
            asked = ask(fleet, 8)
            assert asked.so_far(2) == [FULL, FULL]
            fleet.restore()
            assert asked.all() == [FINE] * 6 + [FULL] * 2


@pytest.mark.needs("process", "regions")
@pytest.mark.guess(
    guess="A request waits at HAProxy only while every server has `maxconn` requests.",
    really="With `balance random(…)` it waits as soon as the servers drawn for it are full, beside a free slot: the draw does not look at `maxconn`, "
    "and what waits is looked at again only when a request ends. `leastconn` and `roundrobin` pass full servers over.",
    version="HAProxy 3.0.11",
    source="HAProxy's source, `get_server_rnd` in src/backend.c",
    see="three servers of one slot that answer nothing, three requests: with `balance random(2)` one of them is soon told 503 by `timeout queue`",
)
def test_what_draws_two_lets_one_wait_beside_a_free_slot(plan, ask, monkeypatch):
    monkeypatch.setitem(door.BALANCE, "power_of_two", "random(2)")
    with PlannedFleet(plan(servers=3, slots=1, max_queue=0, policy="power_of_two", max_wait_s=0.2)) as fleet:
        for _ in range(20):  # about every second time
            for name in fleet.servers:
                fleet.hang(name)
            asked = ask(fleet, 3)
            with contextlib.suppress(Late):  # all three have a slot, and no reply as long as the servers hang
                waited = asked.so_far(1, within=1)
                assert waited == [LATE]
            fleet.restore()
            if asked.all() != [FINE] * 3:
                return
    pytest.fail("it never drew a full server")
