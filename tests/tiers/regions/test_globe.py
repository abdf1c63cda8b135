"""The globe of lab 13: distances are felt, regions are lost in five ways and come back, users behave as clients do, nothing is left."""

from __future__ import annotations

import sys

import pytest
from orphans import kill_kernel

from llmlab.errors import LabError, Unavailable
from llmlab.system import owned
from llmlab.tiers.regions import places, programs
from llmlab.tiers.regions import probes as incidents
from llmlab.tiers.regions.globe import Globe
from llmlab.tiers.regions.routing import Routing
from llmlab.tiers.regions.users import RegionalUsers

pytestmark = pytest.mark.needs("process", "regions")
FILES = ("regions.yaml", "llama.zone", "haproxy-global.cfg")
SOA = "@ IN SOA ns hostmaster 1 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n"


@pytest.fixture(scope="module")
def globe():
    with Globe() as one:
        yield one


@pytest.fixture(scope="module")
def reference(globe):
    with Routing(globe, incidents.REFERENCE) as one:
        yield one


@pytest.fixture(autouse=True)
def _whole(request):
    yield
    if "globe" in request.fixturenames:
        request.getfixturevalue("globe").restore()


@pytest.fixture
def make(globe, tmp_path):
    """The lab's own routing with other texts: `make(zone=…, regions=(before, after), proxy=…)`; it ends with the test."""
    made = []

    def start(
        zone: str | None = None, regions: tuple[str, str] = ("", ""), proxy: tuple[str, str] = ("", "")
    ) -> Routing:
        for name in FILES:
            (tmp_path / name).write_text((incidents.REFERENCE / name).read_text())
        if zone is not None:
            (tmp_path / "llama.zone").write_text(
                "$ORIGIN llama.example.com.\n$TTL ${TTL}\n" + SOA + "eu IN A 127.13.2.1\n" + zone
            )
        for name, (before, after) in (("regions.yaml", regions), ("haproxy-global.cfg", proxy)):
            text = (tmp_path / name).read_text()
            assert before in text
            (tmp_path / name).write_text(text.replace(before, after) if before else text)
        made.append(Routing(globe, tmp_path))
        return made[-1]

    yield start
    for routing in made:
        routing.close()


def asked(routing, seconds: float, **more):
    with RegionalUsers(routing, **more) as users:
        users.wait(seconds)
        return users.stop()


def test_users_are_served_by_the_region_next_to_them_and_feel_the_distance(globe, reference):
    rows = asked(reference, 2.5)
    homes = incidents.homes(globe)
    assert {row.users for row in rows} == set(globe.users)
    assert all(row.ok and row.region == homes[row.users] for row in rows)
    took = {kind: min(row.took for row in rows if row.users == kind) for kind in ("NA", "SA")}
    more = (globe.users["SA"].rtt(globe.places["us"]) - globe.users["NA"].rtt(globe.places["us"])) / 1000
    assert took["SA"] - took["NA"] > 0.8 * more


def test_what_arrives_is_noted_with_whose_it_is_and_how_many_bytes(globe, reference):
    mark = globe.mark()
    rows = asked(reference, 1.0, at=["residents", "OC"])
    arrived = globe.arrived(mark)
    assert len(arrived) == len(rows)
    assert {(request.region, request.host, request.user) for request in arrived} == {
        ("eu", "eu.llama.example.com", "residents-0"),
        ("asia", "llama.example.com", "OC-0"),
    }
    assert all(
        request.bytes_in > 100 and request.bytes_out > 100 and request.status == 200 for request in arrived
    )


@pytest.mark.parametrize("how", incidents.WAYS)
def test_a_region_is_lost_its_users_are_served_elsewhere_and_it_comes_back(globe, reference, how):
    one = incidents.happen(globe, {"it": reference}, "us", how)
    rows = one.rows["it"]
    during = [row for row in rows if row.users in ("NA", "SA") and one.broke + 6 < row.sent < one.restored]
    lost = [row for row in rows if row.users in ("NA", "SA") and not row.ok and row.over < one.restored]
    # Its entry may try again elsewhere before anybody is told; a whole region takes its entry along.
    assert lost or how == "servers killed", "its users did not notice"
    assert all(row.region in ("eu", "asia") for row in during)
    assert any(row.ok and row.region == "us" for row in rows if row.sent > one.restored)
    others = [row for row in rows if row.users in ("AS", "OC")]
    assert sum(row.ok for row in others) >= 0.95 * len(others)


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_region_whose_server_loads_is_lost_to_whoever_asks_for_its_health(globe, reference, make):
    one = incidents.happen(globe, {"it": reference}, "us", "servers killed", loads=10)
    near = incidents.at_home(globe, "us")
    assert one.loaded >= 10
    assert one.restored - one.broke > one.loaded
    assert incidents.recovery(one.rows["it"], near, one.broke, one.restored) < 6
    assert globe.servers["us"].model.path != globe.folder / "us.gguf", (
        "the next time it starts from the cache"
    )
    options = make(proxy=("option httpchk GET /health", "option httpchk"))
    two = incidents.happen(globe, {"it": options}, "us", "servers killed", loads=10)
    told = [row for row in two.rows["it"] if row.status == 503 and row.region == "us"]
    assert told, "its users were sent to a server that loads"


def test_cut_off_is_silence_and_torn_is_a_refusal(globe, make):
    routing = make(zone="@ IN A 127.13.1.1\n")
    with RegionalUsers(routing, at=["NA"]) as users:
        users.wait(1)
        globe.cut("us")
        users.wait(2)
        silent = users.stop()[-1]
    globe.restore()
    assert silent.error.startswith("given up after")
    for name in globe.places:
        globe.tear(name)
    with RegionalUsers(routing, at=["NA"]) as users:
        users.wait(6, lambda: any(row.status == 503 and row.took < 1 for row in list(users.rows)))
        assert any(row.status == 503 and row.took < 1 for row in users.stop())


def test_an_answer_is_kept_for_its_ttl_and_not_longer(globe, make):
    routing = make(regions=("ttl: 2 ", "ttl: 4 "))
    with RegionalUsers(routing, at=["NA"]) as users:
        users.wait(1)
        globe.kill("us")
        began = users.now
        users.wait(9, lambda: any(row.region == "eu" for row in list(users.rows)))
        rows = users.stop()
    knocked = [row for row in rows if row.sent > began and row.entry == "us"]
    answered = routing.names.ask("llama.example.com", globe.users["NA"].network)
    assert answered.ttl == 4
    assert "127.13.1.1" not in answered.addresses
    assert max(row.sent for row in knocked) - began > 1.5, "nobody went on with the old answer"
    assert rows[-1].ok
    assert rows[-1].entry == "eu"


def test_a_connection_that_works_is_kept_whatever_becomes_of_the_name(make):
    """The name server is gone, and a TTL of a second is over: nobody notices until connections are let go."""
    routing = make(zone="@ IN A 127.13.1.1\n", regions=("ttl: 2 ", "ttl: 1 "))
    with RegionalUsers(routing, at=["NA"]) as users:
        users.wait(0.5)
        routing.names.close()
        gone = users.now
        users.wait(9, lambda: any(not row.ok for row in list(users.rows)))
        rows = users.stop()
    first = next(row for row in rows if not row.ok)
    assert first.sent - gone > 2.5, "it asked again although its connection worked"
    assert "name server does not answer" in first.error


def test_a_rate_is_kept_whatever_becomes_of_the_requests(globe, make):
    routing = make(zone="@ IN A 127.13.1.1\n")
    globe.cut("us")
    rows = asked(routing, 2.0, at=["NA", "SA"], rate=5, patience=0.5)
    assert 16 <= len(rows) <= 24
    assert not any(row.ok for row in rows)


def test_an_address_that_nobody_has_is_an_error_of_that_user(make):
    rows = asked(make(zone="@ IN A 127.13.9.9\n"), 0.6, at=["NA"])
    assert {row.error for row in rows} == {"nobody is at 127.13.9.9"}


def test_coordinates_reach_the_name_server(reference, globe):
    """Without an accuracy radius beside them it would read 0/0 everywhere, and lead everybody to the same region."""
    led = {users: regions for users, _, regions, _, _ in reference.answers()}
    homes = incidents.homes(globe)
    assert {kind: (home,) for kind, home in homes.items()} == led


def test_a_round_trip_is_the_great_circle_in_fibre():
    there, here = places.users()["EU"], places.regions()["us"]
    assert there.rtt(here) == pytest.approx(here.rtt(there))
    assert 80 < there.rtt(here) < 100  # London to Ashburn: 5,920 km


def test_what_is_missing_is_named_with_the_command_that_brings_it(monkeypatch, tmp_path):
    monkeypatch.setenv("LLMLAB_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match=r"PowerDNS with GeoIP.*Toxiproxy") as caught:
        programs.found()
    assert caught.value.fix == "uv run llmlab fetch regions"


KERNEL = """
from llmlab.tiers.regions.probes import REFERENCE
from llmlab.tiers.regions.globe import Globe
from llmlab.tiers.regions.routing import Routing
from llmlab.tiers.regions.users import RegionalUsers
globe = Globe()
routing = Routing(globe, REFERENCE)
with RegionalUsers(routing) as users:
    users.wait(1)
    globe.hang("eu")
    globe.cut("us")
    print(globe.folder, flush=True)
    input()
"""


def test_a_kernel_killed_in_mid_experiment_leaves_nothing_after_clean():
    kill_kernel(
        KERNEL, least=22
    )  # three servers, six proxies, the name server, the distances, and a keeper for each


def test_a_globe_that_cannot_stand_up_takes_everything_down(monkeypatch):
    from llmlab.tiers.regions import proxies

    before = len(owned.entries())
    monkeypatch.setattr(proxies, "WITHIN", 0.0)
    monkeypatch.setattr(
        programs,
        "bring",
        lambda _: programs.RoutingPrograms(("false",), ("false",), programs.found().toxiproxy),
    )
    with pytest.raises(LabError):
        Globe()
    assert len(owned.entries()) == before


def test_the_name_server_says_who_is_down_and_nothing_when_nobody_is(globe, reference):
    assert reference.names.said() == []
    globe.kill("us")
    reference.names.ask("llama.example.com", globe.users["NA"].network)
    with RegionalUsers(reference, at=["NA"]) as users:
        users.wait(8, lambda: bool(reference.names.said()))
        assert ["127.13.1.1 DOWN" in line for line in reference.names.said()] == [True]
        globe.restore()
        assert users.wait(8, lambda: not reference.names.said())


def test_a_proxy_says_who_is_down_and_nothing_when_nobody_is(globe, reference):
    with RegionalUsers(reference, at=["OC"]) as users:
        users.wait(8, lambda: reference.said() == [])
        globe.kill_servers("us")
        assert users.wait(
            8, lambda: any("at eu: Server everybody/next is DOWN" in line for line in reference.said())
        )
        globe.restore()
        assert users.wait(12, lambda: reference.said() == []), reference.said()
