"""Where the regions and their users are, how far apart, and the GeoIP file that says so: from `places.toml`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

#: Light in fibre goes 200 km in a millisecond; a cable is about half as long again as the great circle.
KM_PER_MS, DETOUR = 200.0, 1.5
RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True)
class Place:
    """A region, or where users of a continent live: coordinates in degrees, the network that it has or asks from."""

    name: str
    city: str
    country: str
    continent: str
    latitude: float
    longitude: float
    network: str

    @property
    def address(self) -> str:
        """A region's address."""
        return self.network.rsplit(".", 1)[0] + ".1"

    def rtt(self, other: Place) -> float:
        """Round trip in milliseconds: the great circle (haversine), there and back at the speed of light in fibre, with a detour."""
        a, b = math.radians(self.latitude), math.radians(other.latitude)
        across = math.radians(other.longitude - self.longitude)
        chord = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
        km = 2 * RADIUS_KM * math.asin(math.sqrt(chord))
        return 1 + 2 * km * DETOUR / KM_PER_MS


def regions() -> dict[str, Place]:
    """The three regions by name."""
    return _read("regions")


def users(draw: Random | None = None) -> dict[str, Place]:
    """Where users are, by continent; and the residents.

    :param draw: then their cities and networks are drawn, out of so many that a table of them is no shorter than a rule; their closest
        region, and the residents' union, stay the same.
    """
    usual = _read("users")
    if draw is None:
        return usual
    others = _table("elsewhere")
    networks = draw.sample(range(2 * 256), len(usual))  # of 198.18.0.0/15
    found = {}
    for (name, place), number in zip(usual.items(), networks, strict=True):
        other = draw.choice([None, *others[name]])
        network = f"198.{18 + number // 256}.{number % 256}.0/24"
        found[name] = (
            replace(place, network=network)
            if other is None
            else replace(
                place,
                city=other["city"],
                country=other["country"],
                latitude=other["at"][0],
                longitude=other["at"][1],
                network=network,
            )
        )
    return found


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))[name]  # type: ignore[no-any-return]


def _read(table: str) -> dict[str, Place]:
    return {
        name: Place(
            name=name,
            city=about["city"],
            country=about["country"],
            continent=about.get("continent", name),
            latitude=about["at"][0],
            longitude=about["at"][1],
            network=about["network"] if "network" in about else about["address"].rsplit(".", 1)[0] + ".0/24",
        )
        for name, about in _table(table).items()
    }


def write_geoip(path: Path, places: Iterable[Place]) -> None:
    """A GeoIP file in MaxMind's format. PowerDNS reads coordinates only where an accuracy radius stands beside them."""
    writer = MMDBWriter(4, "GeoIP2-City", languages=["en"], description="The networks of a lab")
    for place in places:
        where = {"latitude": place.latitude, "longitude": place.longitude, "accuracy_radius": 10}
        writer.insert_network(
            IPSet([place.network]),
            {
                "continent": {"code": place.continent},
                "country": {"iso_code": place.country},
                "city": {"names": {"en": place.city}},
                "location": where,
            },
        )
    writer.to_db_file(str(path))
