"""Requests: when they come and how long they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Trace:
    """Requests in the order of their arrival; all columns have one length."""

    arrival_s: Column  # float64, ascending, seconds
    prompt_tokens: Column  # int64
    output_tokens: Column  # int64
    prefix: Column | None = None  # int64: which shared beginning the prompt has, -1 none
    prefix_tokens: Column | None = None  # int64: how long it is
    region: Column | None = None  # int64: the user's region
