"""A door of the learner's own, as HAProxy takes it: its mistakes have their line, and what it lacks does not keep it from running."""

from __future__ import annotations

import msgspec
import pytest

from llmlab.capacity.plan import read
from llmlab.capacity.written_door import written
from llmlab.errors import LabError
from llmlab.system.paths import course_dir
from llmlab.tiers.fleet.fleet import PlannedFleet

LAB = course_dir() / "labs" / "14-capstone"
WORKED = course_dir() / "solutions" / "14-capstone"
STARTER = (LAB / "haproxy.cfg").read_text()


def with_door(plan, text: str, **more):
    made = plan(**more)
    return msgspec.structs.replace(made, door=written(made.door, text, {"SLOTS": "1"}))


@pytest.mark.needs("regions")
@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("balance roundrobin", "balance fairly", 20),
        ('"${S1}"', '"${S9}"', 21),
        ("timeout connect 1s", "timeout conect 1s", 11),
    ],
)
def test_a_mistake_has_its_line_and_nothing_was_started(old, new, line, plan, monkeypatch):
    monkeypatch.setattr(PlannedFleet, "_serve", lambda *_: pytest.fail("a server was started"))
    with pytest.raises(LabError, match=r"HAProxy does not take haproxy\.cfg") as caught:
        PlannedFleet(with_door(plan, STARTER.replace(old, new)))
    assert caught.value.where == f"haproxy.cfg:{line}"


@pytest.mark.needs("process", "regions")
def test_one_that_says_nothing_of_queues_and_checks_runs(plan, ask):
    with PlannedFleet(with_door(plan, STARTER, servers=1, slots=1)) as fleet:
        fleet.ready()
        assert ask(fleet, 3).all() == [200, 200, 200]


@pytest.mark.needs("process", "regions")
def test_the_worked_one_tells_who_is_too_many_and_notices_who_is_gone(ask):
    mine = read(WORKED / "plan.toml")
    tier = msgspec.structs.replace(mine.tier["here"], slots=1)
    door = written(mine.door, (WORKED / "haproxy.cfg").read_text().replace("ge 12", "ge 1"), {"SLOTS": "1"})
    with PlannedFleet(msgspec.structs.replace(mine, tier={"here": tier}, door=door)) as fleet:
        fleet.kill("s3")
        fleet.ready(lost=1)
        for name in ("s1", "s2"):
            fleet.hang(name)
        asked = ask(fleet, 4)
        assert asked.so_far(1) == [429]
        fleet.restore("s1", "s2")
        assert asked.all().count(429) == 1
