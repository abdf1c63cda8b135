"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`). HAProxy is the tier regions'."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "fleet",
    "llmlab.tiers.fleet",
    opens={"fleet": "notebook:LiveFleet"},
    gives={"plan": "planned:planned"},
)
