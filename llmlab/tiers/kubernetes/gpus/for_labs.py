"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .az import node_pool
from .landing import (
    BUILT_FOR,
    SWAP,
    advertised,
    answers,
    apply_more,
    capability,
    fleet,
    lands,
    of,
    placed,
    publish,
    refused_words,
    served,
)
from .pools import GPU, catalogue, discovered, only, plant, pools, taint
from .probes import decided, ended, nodes_of, scale, settled, words

__all__ = [
    "BUILT_FOR",
    "GPU",
    "SWAP",
    "advertised",
    "answers",
    "apply_more",
    "capability",
    "catalogue",
    "decided",
    "discovered",
    "ended",
    "fleet",
    "lands",
    "node_pool",
    "nodes_of",
    "of",
    "only",
    "placed",
    "plant",
    "pools",
    "publish",
    "refused_words",
    "scale",
    "served",
    "settled",
    "taint",
    "words",
]
