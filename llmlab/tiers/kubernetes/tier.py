"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "kubernetes",
    "llmlab.tiers.kubernetes",
    needs={"kubernetes": "needs:kubernetes", "pods": "needs:pods"},
    opens={"cluster": "notebook.cluster:LiveCluster"},
    ends={
        "cluster": "drivers.local",
        "simulated": "drivers.simulated",
        "kind": "drivers.kind",
        "context": "drivers.context",
    },
    fetches={"kubernetes": "fetch:kubernetes"},
    by_hand=("kubernetes",),
    verbs={"cluster": "command:run"},
)
