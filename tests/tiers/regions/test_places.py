"""Where users are: what is drawn, and what stays as it is."""

from __future__ import annotations

from ipaddress import ip_network
from random import Random

from llmlab.tiers.regions import places


def closest(place: places.Place) -> str:
    regions = places.regions()
    return min(regions, key=lambda name: place.rtt(regions[name]))


def test_wherever_users_are_drawn_their_region_and_the_residents_union_stay():
    usual = places.users()
    drawn = [places.users(Random(seed)) for seed in range(60)]
    for users in drawn:
        assert list(users) == list(usual)
        assert {name: closest(place) for name, place in users.items()} == {
            name: closest(place) for name, place in usual.items()
        }
        assert users["residents"].country in {"DE", "FR", "ES", "PL", "AT", "IT"}
        assert {name: place.continent for name, place in users.items()} == {
            name: place.continent for name, place in usual.items()
        }
        networks = [ip_network(place.network) for place in users.values()]
        assert len(set(networks)) == len(networks)
        assert all(network.subnet_of(ip_network("198.18.0.0/15")) for network in networks)
    assert len({place.network for users in drawn for place in users.values()}) > 250, (
        "a table is no short way"
    )
    assert all(len({users[name].city for users in drawn}) > 3 for name in usual)
    assert drawn[0] == places.users(Random(0)), "the same learner, the same users"
