"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "systemd",
    "llmlab.tiers.systemd",
    opens={"boot": "notebook:LiveMachine"},
)
