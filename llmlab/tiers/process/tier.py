"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "process",
    "llmlab.tiers.process",
    needs={
        "process": "needs:process",
        "cpu-quota": "needs:cpu_quota",
        "memory-quota": "needs:memory_quota",
        "binary": "needs:binary",
        "compiler": "needs:compiler",
        "gpu": "needs:gpu",
    },
    fetches={"models": "fetch:models", "binary": "fetch:binary"},
    by_hand=("models", "binary"),
)
