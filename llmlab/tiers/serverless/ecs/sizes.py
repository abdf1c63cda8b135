"""What Fargate sells: the pairs of CPU and memory, and how a definition may write them."""

from __future__ import annotations

import math
import re
from typing import Any

GIB = 1024  # MiB
#: CPU units (1,024 a core) → MiB of memory. Source: ECS guide, task-cpu-memory-error; probed through the API in August 2026.
PAIRS: dict[int, tuple[int, ...]] = {
    256: (512, GIB, 2 * GIB),
    512: tuple(range(1 * GIB, 4 * GIB + 1, GIB)),
    1024: tuple(range(2 * GIB, 8 * GIB + 1, GIB)),
    2048: tuple(range(4 * GIB, 16 * GIB + 1, GIB)),
    4096: tuple(range(8 * GIB, 30 * GIB + 1, GIB)),
    8192: tuple(range(16 * GIB, 60 * GIB + 1, 4 * GIB)),
    16384: tuple(range(32 * GIB, 120 * GIB + 1, 8 * GIB)),
    32768: (60 * GIB, 120 * GIB, 244 * GIB),  # newer than the probes; sources differ, so it is not refused
}
_UNITS = {"cpu": {"vcpu": 1024, "vcpus": 1024}, "memory": {"gb": GIB, "gib": GIB, "mb": 1, "mib": 1}}


def units(value: Any, kind: str) -> int | None:
    """CPU units, or MiB, of `1024`, `1 vCPU`, `.5 vcpu`, `2048`, `2 GB`, `0.5GB`; None: it is neither.

    :param kind: cpu | memory.
    """
    found = re.fullmatch(r"\s*(\d*\.?\d+|\d+\.)\s*([a-z]*)\s*", str(value or "").lower())
    if found is None or (found[2] and found[2] not in _UNITS[kind]):
        return None
    number = float(found[1]) * _UNITS[kind].get(found[2], 1)
    return int(number) if number > 0 and math.isclose(number, round(number)) else None


def sold(cpu: int, memory: int, *, windows: bool = False) -> bool:
    """Whether Fargate has that pair: CPU units and MiB. Windows has no less than one core, and no more than four."""
    return memory in PAIRS.get(cpu, ()) and not (windows and not 1024 <= cpu <= 4096)
