"""What this tier needs, opens, ends and fetches; strings only (see `llmlab.tier`)."""

from __future__ import annotations

from ...tier import Tier

TIER = Tier(
    "docker",
    "llmlab.tiers.docker",
    needs={"docker": "needs:docker", "images": "needs:images"},
    opens={"build": "notebook:LiveBuild", "run": "notebook:LiveContainer"},
    gives={"pin": "notebook:pin", "recorded": "notebook:recorded"},
    ends={"docker": "owning"},
    fetches={"docker": "fetch:docker", "images": "fetch:images"},
    by_hand=("docker", "images"),
)
