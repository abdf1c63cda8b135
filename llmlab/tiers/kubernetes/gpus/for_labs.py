"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .az import node_pool
from .pools import GPU, catalogue, discovered, only, plant, pools, taint
from .probes import decided, ended, nodes_of, scale, settled, words

__all__ = [
    "GPU",
    "catalogue",
    "decided",
    "discovered",
    "ended",
    "node_pool",
    "nodes_of",
    "only",
    "plant",
    "pools",
    "scale",
    "settled",
    "taint",
    "words",
]
