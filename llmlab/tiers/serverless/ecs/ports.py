"""The ports that a task definition maps: where a task can be asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 65535


def ports(document: Mapping[str, Any]) -> list[int]:
    """All TCP ports that containers map, in the order in which they stand there, each once; a range is its ports.

    What is no port is passed over; it never raises for a document that was registered.
    """
    return list(dict.fromkeys(_mapped(document)))


def _mapped(document: Mapping[str, Any]) -> Iterator[int]:
    for container in document.get("containerDefinitions") or ():
        for mapping in container.get("portMappings") or ():
            if (mapping.get("protocol") or "tcp").lower() != "tcp":
                continue
            port = mapping.get("containerPort")
            if mapping.get("containerPortRange"):
                yield from span(mapping["containerPortRange"])
            elif isinstance(port, int) and 1 <= port <= MOST:
                yield port


def span(text: str) -> range:
    """The ports of `8000-8010`; none where it is not that."""
    found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text, re.ASCII)
    first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    return range(first, last + 1) if 1 <= first < last <= MOST else range(0)
