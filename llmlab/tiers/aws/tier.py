"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "aws",
    "llmlab.tiers.aws",
    needs={"terraform": "needs:terraform"},
    opens={"terraform": "notebook.project:LiveInfra"},
    fetches={"terraform": "fetch:terraform"},
)
