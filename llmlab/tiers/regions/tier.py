"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "regions",
    "llmlab.tiers.regions",
    needs={"regions": "needs:regions"},
    opens={"regions": "notebook:LiveRegions"},
    fetches={"regions": "fetch:regions"},
    readable=("regions", "debian/trixie/regions.all"),
)
