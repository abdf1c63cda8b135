"""Amounts of CPU, memory and storage, as manifests write them (100m, 0.5, 512Mi): the API server does not say which one is wrong."""

from __future__ import annotations

import re
from typing import Any

_QUANTITY = re.compile(r"[+-]?[0-9.]+([numkMGTPE]|[KMGTPE]i|[eE][-+]?[0-9]+)?")
#: Below these keys there are only amounts.
_AMOUNTS = ("requests", "limits", "capacity", "sizeLimit", "hard")


def wrong(value: Any, at: str = "", amount: bool = False) -> list[str]:
    """The fields of an object that should be an amount and are none, as the API server names fields."""
    if isinstance(value, dict):
        return [
            field
            for key, it in value.items()
            for field in wrong(it, f"{at}.{key}".lstrip("."), amount or key in _AMOUNTS)
        ]
    if isinstance(value, list):
        return [field for place, it in enumerate(value) for field in wrong(it, f"{at}[{place}]", amount)]
    return [at] if amount and not _QUANTITY.fullmatch(str(value)) else []
