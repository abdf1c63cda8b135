"""What a tool's log says about why it ended."""

from __future__ import annotations

import re

TAIL = 12
#: What tools put before a line that says what went wrong.
_BAD = re.compile(
    r"\b(error|alert|fatal|panic|failed|invalid|unknown (?:flag|keyword|option|field))\b|level=error|^\S+ E ",
    re.IGNORECASE,
)
_STAMP = re.compile(r"^(?:ts=\S+|time=\S+|[\d.:]{8,})\s")


def telling(log: str) -> list[str]:
    """The lines of a log's end that say what went wrong; its last lines where none does. What repeats is said once."""
    lines: dict[str, str] = {}
    for line in log.strip().splitlines():
        bare = _STAMP.sub("", line).strip()
        lines.pop(bare, None)  # the last of a kind counts
        lines[bare] = line.strip()
    bad = [line for line in lines.values() if _BAD.search(line)]
    return [line[:400] for line in (bad or list(lines.values()))[-TAIL:]]
