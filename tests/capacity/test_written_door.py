"""A door that the learner wrote: what the simulator takes from HAProxy's file, and what is the learner's word."""

from __future__ import annotations

import pytest

from llmlab.capacity import plan as plans
from llmlab.capacity.planned_door import PlannedDoor
from llmlab.capacity.written_door import KEYS, POLICIES, WrittenDoor, written
from llmlab.errors import LabError
from llmlab.system.paths import course_dir

from .test_plan import TEXT

PLAN = PlannedDoor(policy="random", max_queue=7, max_wait_s=9.0, check_s=3.0, fall=4)
WHOLE = """\
defaults
    timeout queue 1500ms  # not 9s
frontend door
    http-request deny deny_status 429 if { be_conn_free(b) le 0 } { queue(b) ge 12 }
backend b
    balance leastconn
    default-server maxconn "${SLOTS}" check inter 500 fall 3
    server s1 "${S1}"
"""


def said(text: str) -> WrittenDoor:
    return written(PLAN, text, {"SLOTS": "4"})


def test_what_the_file_says_stands_in_the_keys_of_the_plan():
    door = said(WHOLE)
    assert (door.policy, door.max_queue, door.max_wait_s, door.maxconn) == ("least_connections", 12, 1.5, 4)
    assert (door.check_s, door.fall, door.word) == (0.5, 3, ())
    assert door.text == WHOLE


def test_what_it_does_not_say_is_the_learners_word():
    door = said("backend b\n    server s1 ${S1}\n")
    assert (door.policy, door.max_queue, door.max_wait_s) == ("random", 7, 9.0)
    assert set(door.word) == set(KEYS)
    assert door.maxconn == 0, "each server is given whatever comes"


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        *[(f"balance {name}", "policy", policy) for name, policy in POLICIES.items()],
        ("balance hash req.hdr(x)", "policy", "random"),
        ("# balance roundrobin", "policy", "random"),
        ("timeout queue 2s", "max_wait_s", 2.0),
        ("timeout queue 2", "max_wait_s", 0.002),
        ("timeout queue 0", "max_wait_s", 9.0),
        ("http-request return status 429 if { queue(b) gt 5 }", "max_queue", 6),
        ("server s1 127.0.0.1:1 maxconn 3", "maxconn", 3),
        ("server s1 127.0.0.1:1 check inter 2s", "check_s", 2.0),
        ("log queue(b) ge 5", "max_queue", 7),
    ],
)
def test_lines_that_every_such_file_has(line, key, value):
    assert getattr(said(line), key) == value


def test_servers_without_a_bound_have_their_own_queues_in_the_simulator(tmp_path):
    (tmp_path / "plan.toml").write_text(TEXT.replace("[door]", '[door]\nconfig = "haproxy.cfg"'))
    (tmp_path / "haproxy.cfg").write_text(WHOLE.replace(' maxconn "${SLOTS}"', ""))
    mine = plans.read(tmp_path / "plan.toml")
    fleet = plans.replicas(mine, mine.tier["here"], round_trip={})
    assert (fleet.queue, fleet.policy, fleet.max_queue) == ("server", "least_connections", None)
    (tmp_path / "haproxy.cfg").write_text(WHOLE.replace("${SLOTS}", "2"))
    mine = plans.read(tmp_path / "plan.toml")
    fleet = plans.replicas(mine, mine.tier["here"], round_trip={})
    assert (fleet.queue, fleet.max_queue, fleet.max_wait) == ("door", 12, 1.5)
    assert plans.slots_used(mine, mine.tier["here"]) == 2


def test_a_file_that_is_not_there_or_not_handed_in_is_said(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(TEXT.replace("[door]", '[door]\nconfig = "haproxy.cfg"'))
    with pytest.raises(LabError, match=r"haproxy\.cfg cannot be read: No such file"):
        plans.read(path)
    path.write_text(TEXT.replace("[door]", '[door]\nconfig = "../other.cfg"'))
    with pytest.raises(LabError, match=r"haproxy\.cfg"):
        plans.read(path)


def test_the_worked_file_says_what_the_worked_plan_says():
    folder = course_dir() / "solutions" / "14-capstone"
    mine = plans.read(folder / "plan.toml")
    door = written(mine.door, (folder / "haproxy.cfg").read_text(), {"SLOTS": "4"})
    assert door.word == ()
    assert [getattr(door, key) for key in KEYS] == [getattr(mine.door, key) for key in KEYS]
    assert door.maxconn == 4
