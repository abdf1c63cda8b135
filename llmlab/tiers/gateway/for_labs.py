"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from ...system.certificates import Authority
from .clients import Client, key_secret, tls_secret
from .conditions import Remark, said, settled
from .door import FrontDoor, door
from .netpol import Pod, allowed, why
from .witness import Witness

__all__ = [
    "Authority",
    "Client",
    "FrontDoor",
    "Pod",
    "Remark",
    "Witness",
    "allowed",
    "door",
    "key_secret",
    "said",
    "settled",
    "tls_secret",
    "why",
]
