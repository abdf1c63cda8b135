"""What a lab's checks may use of this tier: everything else of it may change without notice."""

from __future__ import annotations

from ..kubernetes.programs.images import ELSEWHERE
from . import cloud_run
from .given import key_secret

__all__ = ["ELSEWHERE", "cloud_run", "key_secret"]
