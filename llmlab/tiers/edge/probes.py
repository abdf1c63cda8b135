"""Which user belongs where, as the edge and the regions say it, and the users that are tried: from `data/world.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from ...system.paths import course_dir

HOME = {"NA": "us", "SA": "us", "EU": "eu", "AF": "eu", "AS": "asia", "OC": "asia"}
ELSEWHERE = "us"  # who is nowhere in particular
#: Those: Tor's exits, the Antarctic, and who is not known at all.
NOWHERE: tuple[Mapping[str, Any], ...] = ({"country": "T1"}, {"country": "AQ", "continent": "AN"}, {})


@dataclass(frozen=True, slots=True)
class Country:
    """A country: its code, Cloudflare's continent for it, whether its residents' data stay in the EU, its tile on the map."""

    code: str
    continent: str
    eu: bool
    column: int
    row: int

    @property
    def cf(self) -> dict[str, Any]:
        """`request.cf` of a user there."""
        found = {"country": self.code, "continent": self.continent}
        return found | ({"isEUCountry": "1"} if self.eu else {})

    @property
    def home(self) -> str:
        """The region that its users belong to."""
        return HOME[self.continent]


def countries() -> list[Country]:
    """All that the map has, row by row."""
    data = tomllib.loads((course_dir() / "data" / "world.toml").read_text(encoding="utf-8"))
    where = {code: continent for continent, codes in data["continents"].items() for code in codes.split()}
    union = set(data["eu"].split())
    return [
        Country(code, where[code], code in union, column, row)
        for row, line in enumerate(data["map"].strip().splitlines())
        for column, code in enumerate(line.split())
        if code != ".."
    ]


def user(random: Random, home: str, *, eu: bool = False) -> Country:
    """Somebody who belongs to a region; `eu`: a resident of the European Union, else nobody of it."""
    return random.choice([country for country in countries() if country.home == home and country.eu == eu])


def users(random: Random, each: int = 3) -> list[tuple[Mapping[str, Any], str]]:
    """Users as an edge may meet them (`request.cf`), and the region where each belongs; the last of them are nowhere in particular.

    Drawn from all countries of the map, so that a table of those who are tried is no shorter than a rule.

    :param each: of every continent, and of residents of the EU, at most so many countries.
    """
    kinds: dict[tuple[str, bool], list[Country]] = {}
    for country in countries():
        kinds.setdefault((country.continent, country.eu), []).append(country)
    drawn = [
        country
        for kind in sorted(kinds)
        for country in random.sample(kinds[kind], min(each, len(kinds[kind])))
    ]
    found: list[tuple[Mapping[str, Any], str]] = [(country.cf, country.home) for country in drawn]
    for country in random.sample([country for country in drawn if country.home != ELSEWHERE], 2):
        small = {"country": country.code.lower(), "continent": country.continent.lower()}
        found.append((country.cf | small, country.home))
    return [*found, *((nowhere, ELSEWHERE) for nowhere in NOWHERE)]
