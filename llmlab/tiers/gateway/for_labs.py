"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from .conditions import Remark, said, settled
from .door import GatewayDoor, door

__all__ = ["GatewayDoor", "Remark", "door", "said", "settled"]
