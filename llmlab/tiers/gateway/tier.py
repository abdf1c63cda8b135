"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`). Its cluster is the tier kubernetes'."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier("gateway", "llmlab.tiers.gateway", opens={"front": "notebook.gateway:LiveGateway"})
