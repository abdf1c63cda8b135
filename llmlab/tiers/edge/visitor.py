"""What Cloudflare adds to a request: the headers of a visitor, and those of what a worker then fetches.

As its documentation lists them: "Cloudflare HTTP headers" (fundamentals/reference/http-headers) and "Available Managed
Transforms" (rules/transform/managed-transforms/reference), in cloudflare/cloudflare-docs, read 2026-11-29. Left out is what
a connection settles for itself (`Accept-Encoding`, `Connection`), what only some plans have (`True-Client-IP`), and Pseudo
IPv4. The country and the continent are settings of a zone (IP Geolocation; Add visitor location headers): ours has both on.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

#: In CF-IPCountry: a visitor of whom no country is known. Tor is "T1", for the continent too.
UNKNOWN, TOR = "XX", "T1"
ZONE = "example.com"  # whose worker it is
AIRPORT = "FRA"  # the data centre at the end of a Ray ID

#: Added on a request's way from a worker to an origin; removed there, since our origins are not behind Cloudflare.
FETCHED = {"cf-worker": ZONE, "cf-ew-via": "15", "cdn-loop": f"cloudflare; subreqs=1; loops=1; zone={ZONE}"}
REMOVED = ("cf-ipcountry",)

#: The headers that `headers` gives every visitor; whatever a client sends under these names is overwritten.
ALWAYS = (
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "cdn-loop",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
)


def country(cf: Mapping[str, Any]) -> str:
    """CF-IPCountry for a visitor of whom `request.cf` says this: always two capitals, "XX" without a country."""
    return str(cf.get("country") or UNKNOWN).upper()


def address(cf: Mapping[str, Any]) -> str:
    """An address for a visitor, the same for all of a country; one that documentation uses (RFC 5737) and nobody has."""
    code = country(cf)
    return f"203.0.113.{1 + sum(ord(letter) * 26**place for place, letter in enumerate(code)) % 254}"


def headers(cf: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """What is added to a visitor's request; all of it says the same of where they are as `request.cf` does.

    :param given: the visitor's own headers: an X-Forwarded-For among them is added to.
    """
    own = address(cf)
    before = next((value for name, value in given.items() if name.lower() == "x-forwarded-for"), None)
    found = {
        "cf-connecting-ip": own,
        "cf-ipcountry": country(cf),
        "cf-ray": f"{secrets.token_hex(8)}-{AIRPORT}",
        "cf-visitor": json.dumps({"scheme": "https"}),
        "cdn-loop": "cloudflare; loops=1",
        "x-forwarded-for": f"{before},{own}" if before else own,
        "x-forwarded-proto": "https",
        "x-real-ip": own,
    }
    continent = TOR if country(cf) == TOR else str(cf.get("continent") or "").upper()
    return found | ({"cf-ipcontinent": continent} if continent else {})
