"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from ...system.certificates import Authority
from .conditions import Remark, said, settled
from .door import FrontDoor, door, tls_secret

__all__ = ["Authority", "FrontDoor", "Remark", "door", "said", "settled", "tls_secret"]
