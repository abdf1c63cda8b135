"""Whose turn it is to measure. A module of its own, because a grader sets it in processes that may never measure."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

#: Held around a measurement. A grader of many submissions sets it, so that only one measures at a time.
take: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
