"""A small world on one machine: regions with real llama-servers in them, and what leads users there: an edge, or global DNS and proxies.

What lives here: the regions, their distances, how they fail, what reached them; the tools that run the learner's files; users as
real clients are. Which user belongs where, and what is good enough, is the labs' business.
"""

from .edge import Edge
from .globe import Globe
from .routing import Routing
from .users import Users
from .world import World

__all__ = ["Edge", "Globe", "Routing", "Users", "World"]
