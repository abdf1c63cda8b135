"""plan.toml: what is wrong in it is said with its line and what should stand there; and the fleet that a tier of it describes."""

from __future__ import annotations

import pytest

from llmlab.capacity import plan
from llmlab.capacity.fleet import Autoscaler
from llmlab.errors import LabError

TEXT = """\
speeds = "20261130T101500123-load.json"

[promise]
ttft_s = 2.0
e2e_s = 12.0
share = 0.95
recovery_s = 5.0

[door]
policy = "least_connections"
max_queue = 8
max_wait_s = 1.5
check_s = 0.5

[tier.here]
load = 1.2
slots = 4
replicas = 3
machine = "c7i.xlarge"
price_per_million = 1.25

[tier.large]
load = 60
slots = 8
replicas = { us = 40, eu = 30 }
home = ["eu"]
machine = "g6.xlarge"
price_per_million = 0.8
"""


@pytest.fixture
def read(tmp_path):
    """The plan of the text above with one passage of it changed."""

    def of(before: str = "", after: str = "") -> plan.ServicePlan:
        assert TEXT.count(before) == 1 or not before
        path = tmp_path / plan.NAME
        path.write_text(TEXT.replace(before, after) if before else after or TEXT)
        return plan.read(path)

    return of


def test_a_whole_plan_is_read(read):
    whole = read()
    assert whole.tier["here"].servers == (3,)
    assert whole.tier["large"].servers == (40, 30)
    assert whole.tier["large"].regions == ("us", "eu")
    assert whole.door.fall == 2
    assert whole.door.notices_s == 2.0


BOTH = "replicas = 3\nautoscale = { min = 1, max = 3, target = 3, startup_s = 20 }"
WRONG = {
    "a number as text": ("max_queue = 8", 'max_queue = "8"', 11, "[door] max_queue is '8', and should be a whole number", "max_queue = 8"),
    "a number that is too small": ("slots = 4", "slots = 0", 17, "[tier.here] slots is 0, and should be a whole number of at least 1", "slots = 4"),
    "a share above 1": ("share = 0.95", "share = 95", 6, "[promise] share is 95, and should be a number of at most 1", "share = 0.95"),
    "a time without an end": ("max_wait_s = 1.5", "max_wait_s = inf", 12, "[door] max_wait_s is inf, and should be a number below 1e+06", "max_wait_s = 1.5"),
    "true for a number": ("replicas = 3", "replicas = true", 18, "[tier.here] replicas is True, and should be", "replicas = 3"),
    "an unknown key": ("e2e_s = 12.0", "e2e = 12.0", 5, "[promise] has no key 'e2e'", "did you mean e2e_s?"),
    "an unknown key in a tier": ("home = ", "homes = ", 26, "[tier.large] has no key 'homes'", "did you mean home?"),
    "an unknown table": ("[door]", "[dor]", 9, "plan.toml has no key 'dor'", "did you mean door?"),
    "an unknown policy": ('"least_connections"', '"fewest"', 10, "[door] policy is 'fewest', and should be one of 'least_connections', 'power_of_two',", 'policy = "least_connections"'),
    "a missing key": ("recovery_s = 5.0\n", "", 3, "[promise] lacks recovery_s", "recovery_s = 5.0"),
    "both replicas and autoscale": ("replicas = 3", BOTH, 18, "[tier.here] has both replicas and autoscale", "take one of them out"),
    "neither of them": ("replicas = 3\n", "", 15, "[tier.here] has neither replicas nor autoscale", "replicas = 3"),
    "bounds the wrong way round": ("replicas = { us = 40, eu = 30 }\nhome = [\"eu\"]", "autoscale = { min = 9, max = 3, target = 3, startup_s = 20 }", 25, "[tier.large] scales from 9 to 3", "min is at most max"),
    "an unknown home": ('home = ["eu"]', 'home = ["asia"]', 26, "[tier.large] has no region 'asia'", "its regions are us, eu"),
    "a home without regions": ('{ us = 40, eu = 30 }', "70", 26, "[tier.large] has no region 'eu'", "replicas = { us = 2, eu = 2 }"),
    "no region at all": ("{ us = 40, eu = 30 }", "{}", 25, "[tier.large] has no region.", "replicas = { us = 4, eu = 4 }"),
    "too many servers here": ("replicas = 3", "replicas = 9", 18, "[tier.here] is deployed on this machine: a number of servers, at most 8", "replicas = 3"),
    "regions here": ("replicas = 3", "replicas = { us = 3 }", 18, "[tier.here] is deployed on this machine: a number of servers, at most 8", "replicas = 3"),
    "an autoscaler here": ("replicas = 3", "autoscale = { min = 1, max = 3, target = 3, startup_s = 20 }", 15, "[tier.here] is deployed on this machine", "replicas = 3"),
    "no TOML": ("max_queue = 8", "max_queue: 8", 11, "plan.toml is not TOML: Expected '=' after a key in a key/value pair.", "text needs quotes"),
    "a key twice": ("load = 60", "load = 60\nload = 61", 24, "plan.toml is not TOML: Cannot overwrite a value.", "text needs quotes"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_with_its_line(case, read):
    before, after, line, what, fix = WRONG[case]
    with pytest.raises(LabError) as caught:
        read(before, after)
    assert caught.value.where == f"plan.toml:{line}"
    assert what in caught.value.what
    assert fix in (caught.value.fix or "")


@pytest.mark.parametrize("missing", ["promise", "door"])
def test_a_missing_table_is_named_with_how_it_begins(missing, read):
    begin = TEXT.index(f"[{missing}]")
    text = TEXT[:begin] + TEXT[TEXT.index("\n\n", begin) + 2 :]
    with pytest.raises(LabError) as caught:
        read(after=text)
    assert caught.value.what == f"plan.toml lacks {missing}."
    assert caught.value.fix == plan.EXAMPLES[missing]


def test_no_tier_for_this_machine_no_text_and_no_file(read, tmp_path):
    with pytest.raises(LabError, match=r"plan\.toml has no tier for this machine") as caught:
        read("[tier.here]", "[tier.small]")
    assert caught.value.fix == "[tier.here]"
    with pytest.raises(LabError, match=r"plan\.toml lacks promise\."):
        read(after="\n")
    (tmp_path / plan.NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(LabError, match=r"plan\.toml cannot be read"):
        plan.read(tmp_path / plan.NAME)
    with pytest.raises(LabError, match=r"There is no plan\.toml"):
        plan.read(tmp_path / "elsewhere" / plan.NAME)


def test_the_fleet_of_a_tier(read):
    whole = read()
    here = plan.replicas(whole, whole.tier["here"], round_trip={})
    assert (here.servers, here.max_queue, here.max_wait, here.policy) == ((3,), 8, 1.5, "least_connections")
    assert here.round_trip == ()
    times = {"us": {"us": 0.0, "eu": 0.08}, "eu": {"us": 0.081, "eu": 0.0}}
    large = plan.replicas(whole, whole.tier["large"], round_trip=times)
    assert large.servers == (40, 30)
    assert large.round_trip == ((0.0, 0.08), (0.081, 0.0))
    assert large.residency == {1: (1,)}


def test_an_autoscaled_tier_begins_with_the_least(read):
    whole = read(
        'replicas = { us = 40, eu = 30 }\nhome = ["eu"]',
        "autoscale = { min = 2, max = 9, target = 3, startup_s = 20 }",
    )
    fleet = plan.replicas(whole, whole.tier["large"], round_trip={}, faster=10)
    assert fleet.servers == (2,)
    scaler = Autoscaler(min=2, max=9, target=3, startup=2, interval=1.5, down_delay=30)
    assert fleet.autoscaler == scaler, "its clock runs with the day"
