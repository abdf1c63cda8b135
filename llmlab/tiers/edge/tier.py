"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "edge",
    "llmlab.tiers.edge",
    needs={"node": "needs:node", "edge": "needs:edge"},
    opens={"edge": "notebook:LiveEdge"},
    fetches={"edge": "fetch:edge"},
    readable=("workerd",),
)
