"""The kit of figures, and those of one server: drawn from a record and from nothing else; each is a `Picture` with alt text and numbers.

Nothing here measures, shows or prints; what a colour means is fixed in `style`, the same in all labs. A tier's figures live with it.
"""

from __future__ import annotations

from .latency import latency_cdf
from .live import live
from .picture import Picture
from .recorded import recorded
from .sessions import sessions
from .threads import threads
from .throughput import throughput
from .timeline import timeline

__all__ = ["Picture", "latency_cdf", "live", "recorded", "sessions", "threads", "throughput", "timeline"]
