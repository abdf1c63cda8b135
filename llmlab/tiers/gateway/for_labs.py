"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from ...system.certificates import Authority
from .clients import HOST, KEYS, TLS, DoorClient, behind, key_secret, new_keys, tls_secret
from .conditions import Remark, said, settled
from .door import FrontDoor, door
from .netpol import Pod, allowed, why
from .routes import weighted
from .witness import Witness

__all__ = [
    "HOST",
    "KEYS",
    "TLS",
    "Authority",
    "DoorClient",
    "FrontDoor",
    "Pod",
    "Remark",
    "Witness",
    "allowed",
    "behind",
    "door",
    "key_secret",
    "new_keys",
    "said",
    "settled",
    "tls_secret",
    "weighted",
    "why",
]
