"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from . import visitor
from .probes import user, users
from .worker import Edge
from .world import HOSTS, World

__all__ = ["HOSTS", "Edge", "World", "user", "users", "visitor"]
