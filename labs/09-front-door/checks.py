"""Lab 09: everything through the door from outside, as clients do, with the lab's own servers behind it, or a witness in their place."""

from . import limits, policy, servers, way

PARTS = (way, limits, servers, policy)  # in the order in which their checks run
