"""Figures drawn from a record and from nothing else; each is a `Picture`: PNG, alt text, caption, numbers.

Nothing here measures, shows or prints; what a colour means is fixed in `style`, the same in all labs.
"""

from __future__ import annotations

from .changes import rollouts, scaling
from .cloud import applying, per_million, reachability, resources
from .exposure import exposure
from .images import images
from .latency import latency_cdf
from .live import live
from .panels import panels
from .picture import Picture
from .placement import placement, stranded
from .regions import flapping, incident, policies, survivors
from .shares import shares
from .states import states
from .threads import threads
from .throughput import throughput
from .timeline import timeline
from .worldmap import added, origins

__all__ = [
    "Picture",
    "added",
    "applying",
    "exposure",
    "flapping",
    "images",
    "incident",
    "latency_cdf",
    "live",
    "origins",
    "panels",
    "per_million",
    "placement",
    "policies",
    "reachability",
    "resources",
    "rollouts",
    "scaling",
    "shares",
    "states",
    "stranded",
    "survivors",
    "threads",
    "throughput",
    "timeline",
]
