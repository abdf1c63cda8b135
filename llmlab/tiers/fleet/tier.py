"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`). HAProxy is the tier regions'."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "fleet",
    "llmlab.tiers.fleet",
    opens={"fleet": "notebook.fleet:LiveFleet"},
    gives={"plan": "notebook.planned:planned"},
)
