"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "serverless",
    "llmlab.tiers.serverless",
    opens={
        "cloud_run": "notebook.cloud_run:LiveRun",
        "fargate": "notebook.fargate:LiveFargate",
        "container_instances": "notebook.instances:LiveInstances",
    },
)
