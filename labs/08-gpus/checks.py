"""Lab 08: the real scheduler over pools that nobody pays for. Fake nodes are labelled, tainted and sized as data/pools.toml says."""

from . import placement, pools, real_node

PARTS = (placement, pools, real_node)  # in the order in which their checks run
