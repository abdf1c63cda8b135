"""Which user belongs where, as the edge and the regions say it, and the users that are tried: from `data/world.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...system.paths import course_dir

HOME = {"NA": "us", "SA": "us", "EU": "eu", "AF": "eu", "AS": "asia", "OC": "asia"}
ELSEWHERE = "us"  # who is nowhere in particular


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


#: Users as an edge may meet them, and where they belong; the last of them are nowhere in particular.
CASES: tuple[tuple[Mapping[str, Any], str], ...] = (
    *(({"country": code, "continent": continent}, HOME[continent]) for code, continent in (
        ("US", "NA"), ("CA", "NA"), ("MX", "NA"), ("BR", "SA"), ("AR", "SA"), ("CL", "SA"), ("GB", "EU"), ("CH", "EU"),
        ("NO", "EU"), ("UA", "EU"), ("ZA", "AF"), ("NG", "AF"), ("EG", "AF"), ("JP", "AS"), ("IN", "AS"), ("SG", "AS"),
        ("AE", "AS"), ("TR", "AS"), ("AU", "OC"), ("NZ", "OC"),
    )),
    *(({"country": code, "continent": "EU", "isEUCountry": "1"}, "eu") for code in ("DE", "FR", "PL", "IE")),
    ({"country": "fr", "continent": "eu", "isEUCountry": "1"}, "eu"),
    ({"country": "jp", "continent": "as"}, "asia"),
    ({"country": "T1"}, ELSEWHERE),
    ({"country": "AQ", "continent": "AN"}, ELSEWHERE),
    ({}, ELSEWHERE),
)  # fmt: skip
