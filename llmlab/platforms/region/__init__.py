"""A small world on one machine: regions with real llama-servers in them, and an edge in front, by Cloudflare's own runtime.

What lives here: the regions, what reached them, and how they fail; the runtime and the learner's worker in it. Which user
belongs where is the labs' business.
"""

from .edge import Edge
from .world import World

__all__ = ["Edge", "World"]
